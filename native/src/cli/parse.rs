//! The command line, understood: clap's own reading, and what people type that it has no words for.

use super::args::Cli;
use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::ffi::OsString;

/// The command line of this process.
///
/// # Errors
///
/// clap's, for what is none, and for `--help` and `--version`.
pub fn parse() -> Result<Cli, clap::Error> {
    let args: Vec<OsString> = std::env::args_os().collect();
    understand(&args)
}

fn understand(args: &[OsString]) -> Result<Cli, clap::Error> {
    let end = args.iter().position(|arg| arg == "--");
    let end = end.unwrap_or(args.len());
    let mut options = Options::default();
    options.take(&Cli::grammar());
    for at in 1..end {
        if let (Some(arg), before) = (args[at].to_str(), args[at - 1].to_str().unwrap_or_default())
            && !options.wants_value(before)
            && let Some(fault) = options.fault(arg, args, at)
        {
            return Err(Cli::grammar().error(ErrorKind::UnknownArgument, fault));
        }
    }
    Cli::read(args).or_else(|error| {
        // A question that begins with a dash, and can be no option: as if it came after `--`.
        let dashed = (1..end).find(|at| args[*at].to_str().is_some_and(is_dashed_text));
        let (Some(at), true) = (dashed, end == args.len()) else {
            return Err(error);
        };
        let mut moved = args.to_vec();
        let text = moved.remove(at);
        moved.extend(["--".into(), text]);
        Cli::read(&moved).map_err(|_| error)
    })
}

/// Whether an argument begins with a dash and is no option all the same: `- which one?`, `-5 + 3`.
fn is_dashed_text(arg: &str) -> bool {
    let after = arg.strip_prefix('-').and_then(|rest| rest.chars().next());
    after.is_some_and(|c| {
        arg.contains(char::is_whitespace) || !(c.is_ascii_alphabetic() || c == '-')
    })
}

/// The options of all commands, by their names with dashes.
#[derive(Default)]
struct Options {
    names: Vec<String>,
    with_value: Vec<String>,
}

impl Options {
    fn take(&mut self, command: &Command) {
        for arg in command.get_arguments().filter(|arg| !arg.is_positional()) {
            let long = arg.get_long().map(|name| format!("--{name}"));
            let short = arg.get_short().map(|name| format!("-{name}"));
            for name in long.into_iter().chain(short) {
                if arg.get_action().takes_values() {
                    self.with_value.push(name.clone());
                }
                self.names.push(name);
            }
        }
        command
            .get_subcommands()
            .for_each(|command| self.take(command));
    }

    fn wants_value(&self, before: &str) -> bool {
        self.with_value.iter().any(|name| name == before)
    }

    /// What is wrong with an argument that is meant as an option: a long one with a single dash, or with a dash that a
    /// document put in place of `-`.
    fn fault(&self, arg: &str, args: &[OsString], at: usize) -> Option<String> {
        let dash = |c: char| {
            matches!(
                c,
                '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}'
            )
        };
        let name = arg.trim_start_matches(dash);
        let dashes = &arg[..arg.len() - name.len()];
        let word = name.split('=').next().unwrap_or(name);
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if !word.starts_with(|c: char| c.is_ascii_alphabetic()) || !word.chars().all(is_name) {
            return None;
        }
        let meant = match word.len() {
            1 => format!("-{name}"),
            _ => format!("--{name}"),
        };
        let known = self
            .names
            .iter()
            .any(|known| *known == meant[..meant.len() - name.len() + word.len()]);
        let why = match dashes {
            "" | "--" => return None,
            "-" if word.len() == 1 => return None,
            // A short option with its value, or several without.
            "-" if !known && self.names.iter().any(|short| *short == arg[..2]) => return None,
            "-" => "an option of several letters begins with two dashes",
            _ => "its dash is not the one that the keyboard has",
        };
        let meant = match known {
            true => Some(meant),
            false => suggested(args, at, meant),
        };
        let hint = meant.map_or_else(String::new, |meant| format!(": type '{meant}'"));
        Some(format!(
            "unexpected argument '{arg}' found: {why}{hint}. A question that begins with a dash comes after '--'"
        ))
    }
}

/// The option that clap takes the argument at `at` for, were it written like this.
fn suggested(args: &[OsString], at: usize, meant: String) -> Option<String> {
    let mut changed = args.to_vec();
    changed[at] = meant.into();
    let error = Cli::read(&changed).err()?;
    match error.get(ContextKind::SuggestedArg)? {
        ContextValue::String(option) => Some(option.clone()),
        ContextValue::Strings(options) => options.first().cloned(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::args;
    use super::*;

    fn read(line: &[&str]) -> Result<Cli, clap::Error> {
        let args: Vec<OsString> = ["periapt"].iter().chain(line).map(OsString::from).collect();
        understand(&args)
    }

    fn question(line: &[&str]) -> String {
        match read(line)
            .unwrap_or_else(|e| panic!("{line:?}: {e}"))
            .command
        {
            args::Command::Generate(args) => args.prompt,
            args::Command::Tokenize(args) => args.text,
            other => panic!("{other:?}"),
        }
    }

    /// Options with a typing error, as reported of others: an en dash from a web page
    /// (<https://github.com/MRtrix3/mrtrix3/issues/2332>), of a manual page (<https://github.com/koalaman/shellcheck/issues/1392>),
    /// of a documentation site (<https://github.com/ericwa/ericw-tools/issues/179>).
    #[test]
    fn a_mistyped_option_is_no_question() {
        for (line, says) in [
            (&["generate", "--jsom"][..], "--json"),
            (&["generate", "--jsom", "Why?"], "--json"),
            (&["generate", "--prefr", "concise", "Why?"], "--prefer"),
            (
                &["generate", "--max-new-token=5", "Why?"],
                "--max-new-tokens",
            ),
            (&["generate", "--temprature", "1", "Why?"], "--temperature"),
            (&["generate", "-prefer", "concise", "Why?"], "'--prefer'"),
            (&["generate", "-json", "Why?"], "'--json'"),
            (&["generate", "-jsom", "Why?"], "'--json'"),
            (&["generate", "-model=x", "Why?"], "'--model=x'"),
            (
                &["generate", "\u{2013}prefer", "concise", "Why?"],
                "'--prefer'",
            ),
            (&["generate", "\u{2014}json", "Why?"], "'--json'"),
            (&["generate", "\u{2212}n", "5", "Why?"], "'-n'"),
            (&["generate", "-\u{2013}json", "Why?"], "'--json'"),
            (&["generate", "\u{2013}\u{2013}json"], "'--json'"),
            (&["tokenize", "--parse-specal", "x"], "--parse-special"),
            (&["eval", "-output", "x"], "'--output'"),
            (
                &["score", "--prefer", "a", "--respons", "f", "q"],
                "--response",
            ),
            (&["tpo", "--sample", "2", "q"], "--samples"),
            (&["compare", "--prefer", "a", "-x", "q"], "-x"),
            (&["generate", "--", "a", "b"], "'b'"),
        ] {
            let error = read(line)
                .err()
                .unwrap_or_else(|| panic!("{line:?} is taken"));
            assert_eq!(error.exit_code(), 2, "{line:?}");
            let said = error.to_string();
            assert!(said.contains(says), "{line:?}: {said}");
        }
    }

    #[test]
    fn a_question_may_begin_with_a_dash() {
        for (line, asked) in [
            (&["generate", "--", "--jsom"][..], "--jsom"),
            (&["generate", "-n", "2", "--", "-prefer"], "-prefer"),
            (&["generate", "--", "\u{2013}json"], "\u{2013}json"),
            (&["generate", "- which one?"], "- which one?"),
            (&["generate", "-5 + 3?", "--json"], "-5 + 3?"),
            (&["generate", "-5"], "-5"),
            (&["generate", "--jsom means what?"], "--jsom means what?"),
            (&["generate", "-n is what?"], "-n is what?"),
            (&["generate", "\u{2013} and then?"], "\u{2013} and then?"),
            (&["generate", "-"], "-"),
            (&["generate", "--stop", "\u{2013}end", "Why?"], "Why?"),
            (&["tokenize", "-1"], "-1"),
        ] {
            assert_eq!(question(line), asked, "{line:?}");
        }
    }
}
