//! Reading the configuration file, and refusing what it says wrong: by line and key, with what is taken instead.

use super::super::Usage;
use super::super::args::{Cli, Command as Call, DecodingArgs};
use super::super::input;
use super::{at, is_list, keys, serve_keys};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};
use periapt_core::decoding::Preference;
use periapt_core::options::OutOfRange;
use std::error::Error;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The one table.
const SERVE: &str = "serve";

/// How alike two names are, from where on one may be meant by the other.
const ALIKE: f64 = 0.8;

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Whether it stands in `[serve]`.
    pub of_serve: bool,
    pub key: String,
    /// As they would be typed.
    pub values: Vec<String>,
    pub line: usize,
}

impl Setting {
    /// The table that it stands in.
    pub fn table(&self) -> Option<&'static str> {
        self.of_serve.then_some(SERVE)
    }
}

/// What the text of the file at `path` says, in the order of its lines.
pub fn read(text: &str, path: &Path, grammar: &Command) -> Result<Vec<Setting>, Usage> {
    let line_of = |offset: usize| 1 + text.bytes().take(offset).filter(|b| *b == b'\n').count();
    let table = DeTable::parse(text).map_err(|error| {
        let line = line_of(error.span().map_or(0, |span| span.start));
        Usage(format!("{}: {}", at(path, line), error.message()))
    })?;
    let mut settings = Vec::new();
    for (key, value) in table.get_ref() {
        let (line, name) = (line_of(key.span().start), key.get_ref());
        let wrong = |why: String| Usage(format!("{}: {why}", at(path, line)));
        match value.get_ref() {
            DeValue::Table(own) if name == SERVE => {
                for (key, value) in own {
                    let line = line_of(key.span().start);
                    let wrong = |why: String| Usage(format!("{}: {why}", at(path, line)));
                    let own = setting(true, key.get_ref(), value, line, grammar);
                    settings.push(own.map_err(wrong)?);
                }
            }
            DeValue::Table(_) => {
                return Err(wrong(format!(
                    "there is no table [{name}]; there is [{SERVE}]"
                )));
            }
            _ => settings.push(setting(false, name, value, line, grammar).map_err(wrong)?),
        }
    }
    settings.sort_by_key(|setting| setting.line);
    Ok(settings)
}

/// A setting, checked as the command line would.
fn setting(
    of_serve: bool,
    key: &str,
    value: &Spanned<DeValue<'_>>,
    line: usize,
    grammar: &Command,
) -> Result<Setting, String> {
    let known: Vec<String> = match of_serve {
        true => serve_keys(grammar),
        false => keys().collect(),
    };
    if !known.iter().any(|name| name == key) {
        return Err(unknown(of_serve, key, &known, grammar));
    }
    let command = match of_serve {
        true => SERVE,
        false => "generate",
    };
    let own = grammar.find_subcommand(command);
    let arg = own.and_then(|own| own.get_arguments().find(|arg| arg.get_long() == Some(key)));
    let values = values(key, value.get_ref(), arg.is_some_and(is_list))?;
    for value in &values {
        if let Some(why) = refused(grammar, command, key, value) {
            return Err(format!("{key} = {value:?}: {why}"));
        }
    }
    Ok(Setting {
        of_serve,
        key: key.to_owned(),
        values,
        line,
    })
}

/// A value as it would be typed.
fn values(key: &str, value: &DeValue<'_>, is_list: bool) -> Result<Vec<String>, String> {
    let taken = match is_list {
        true => "a text, or a list of texts",
        false => "a text or a number",
    };
    let one = |value: &DeValue<'_>| match value {
        DeValue::String(text) => Ok(text.clone().into_owned()),
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().to_owned()),
        DeValue::Float(number) => Ok(number.as_str().to_owned()),
        other => Err(format!("{key} takes {taken}, and no {}", other.type_str())),
    };
    match value {
        DeValue::Array(values) if is_list => {
            values.iter().map(|value| one(value.get_ref())).collect()
        }
        value => Ok(vec![one(value)?]),
    }
}

/// Why a command would not take that value of an option.
fn refused(grammar: &Command, command: &str, key: &str, value: &str) -> Option<String> {
    if key == "prefer" {
        let parsed = Preference::parse(&input::typed(value));
        return parsed.err().map(|error| error.to_string());
    }
    let option = format!("--{key}={value}");
    let mut line = vec!["periapt", command, &option];
    if command != SERVE {
        line.push("Why?");
    }
    match Cli::by(grammar.clone(), line) {
        Ok(cli) => match cli.command {
            Call::Generate(args) => out_of_range(&args.ask.decoding)
                .err()
                .map(|e| e.to_string()),
            _ => None,
        },
        Err(error) => match (error.kind(), error.source()) {
            (ErrorKind::ValueValidation, Some(why)) => Some(why.to_string()),
            _ => match error.get(ContextKind::ValidValue) {
                Some(ContextValue::Strings(valid)) if !valid.is_empty() => {
                    Some(format!("it must be one of {}", valid.join(", ")))
                }
                _ => Some("it must have a value".to_owned()),
            },
        },
    }
}

fn out_of_range(decoding: &DecodingArgs) -> Result<(), OutOfRange> {
    decoding.amulet.validate()?;
    decoding.strength.check_ranges()?;
    decoding.sampling.check_ranges()
}

/// What to say of a key that there is not.
fn unknown(of_serve: bool, key: &str, known: &[String], grammar: &Command) -> String {
    let place = match of_serve {
        true => " in [serve]",
        false => "",
    };
    if !of_serve && serve_keys(grammar).iter().any(|name| name == key) {
        return format!("{key} is the server's alone: it goes into the table [{SERVE}]");
    }
    if of_serve && key == "api-key" {
        return "a key is no part of a file: api-key-env names the environment variable that holds it"
            .to_owned();
    }
    if of_serve && keys().any(|name| name == key) {
        return format!("{key} is no setting of the server: it goes above the table [{SERVE}]");
    }
    let is_it = |arg: &Arg| arg.get_long() == Some(key);
    if grammar
        .get_subcommands()
        .any(|own| own.get_arguments().any(is_it))
    {
        return format!("{key} is of the command line alone, and no key{place}");
    }
    let near = known
        .iter()
        .map(|name| (strsim::jaro_winkler(name, key), name))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match near {
        Some((_, name)) => format!("there is no key {key}{place}: is it {name}?"),
        None => format!(
            "there is no key {key}{place}; there are {}",
            known.join(", ")
        ),
    }
}
