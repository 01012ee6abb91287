//! `periapt config`: what holds where the command line says nothing, and from where.

use super::super::args::{Cli, ConfigArgs};
use super::super::{Usage, print_json};
use super::{Config, MEMORY, Place, VARIABLE, keys, serve_keys, takes, variable};
use crate::terminal::{self, line};
use clap::{ArgMatches, Command};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::io::Write;

/// Variables that change how the command line works; none of them is secret.
const VARIABLES: [&str; 4] = [VARIABLE, MEMORY, "PERIAPT_MODELS", "PERIAPT_LOG"];

/// A key, and what holds.
#[derive(Debug, Serialize)]
struct Held {
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<&'static str>,
    key: String,
    /// None where nothing is said and nothing is built in.
    values: Vec<String>,
    from: From,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum From {
    Default,
    File,
    Environment,
}

pub fn run(args: &ConfigArgs, no_config: bool) -> anyhow::Result<()> {
    let place = Place::of_user()
        .ok_or_else(|| Usage(format!("no home folder is known: {VARIABLE} names a file")))?;
    let path = place.path.display();
    if args.path {
        return Ok(writeln!(terminal::report(), "{}", line(&path))?);
    }
    let grammar = Cli::grammar();
    let config = match no_config {
        true => None,
        false => Config::of_user(&grammar)?,
    };
    let held = all_held(&grammar, config.as_ref());
    let set = VARIABLES.map(|name| Some((name.to_owned(), Value::from(variable(name)?))));
    let set: Map<String, Value> = set.into_iter().flatten().collect();
    if args.json {
        return print_json(&json!({
            "path": place.path,
            "read": config.is_some(),
            "values": held,
            "environment": set,
        }));
    }
    let mut out = terminal::report();
    let state = match (&config, no_config) {
        (Some(_), _) => "",
        (None, true) => " (left out)",
        (None, false) => " (not there)",
    };
    writeln!(out, "{}{state}", line(&path))?;
    for held in &held {
        let key = match held.table {
            Some(table) => format!("[{table}] {}", held.key),
            None => held.key.clone(),
        };
        let values = match held.values.is_empty() {
            true => "-".to_owned(),
            false => line(&held.values.join(", ")).to_string(),
        };
        let from = match (&held.from, held.line) {
            (From::Default, _) => "default".to_owned(),
            (From::Environment, _) => format!("environment ({MEMORY})"),
            (From::File, line) => format!("file, line {}", line.unwrap_or_default()),
        };
        writeln!(out, "{key:<26} {values:<24} {from}")?;
    }
    for (name, value) in &set {
        let value = value.as_str().unwrap_or_default();
        writeln!(out, "{name} is set: {}", line(&value))?;
    }
    Ok(())
}

/// What holds of every key; of the server what is its own alone.
fn all_held(grammar: &Command, config: Option<&Config>) -> Vec<Held> {
    let common = keys().filter_map(|key| held(grammar, config, "generate", None, key));
    let of_serve = serve_keys(grammar).into_iter().filter_map(|key| {
        let common = takes("serve", &key);
        let held = held(grammar, config, "serve", Some("serve"), key)?;
        let is_own = |line| config.is_some_and(|config| config.is_of_serve(line));
        (!common || held.line.is_some_and(is_own)).then_some(held)
    });
    common.chain(of_serve).collect()
}

fn held(
    grammar: &Command,
    config: Option<&Config>,
    command: &str,
    table: Option<&'static str>,
    key: String,
) -> Option<Held> {
    let own = grammar.find_subcommand(command)?;
    let arg = own
        .get_arguments()
        .find(|arg| arg.get_long() == Some(&key))?;
    let setting = config.and_then(|config| config.holds(command, arg, &ArgMatches::default()));
    let default = arg.get_default_values().iter();
    let default = || {
        default
            .map(|value| value.to_string_lossy().into_owned())
            .collect()
    };
    let (values, from) = match (setting, variable(MEMORY).filter(|_| key == "memory")) {
        (_, Some(memory)) => (vec![memory], From::Environment),
        (Some(setting), None) => (setting.values.clone(), From::File),
        (None, None) => (default(), From::Default),
    };
    Some(Held {
        table,
        key,
        values,
        from,
        line: setting.map(|setting| setting.line),
    })
}
