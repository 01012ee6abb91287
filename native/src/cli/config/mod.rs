//! The configuration file: options that hold unless the command line or the environment says otherwise. What it says becomes
//! the defaults of clap's own arguments, so that precedence, meaning and refusals are those of the command line.
//!
//! Reading order: this file (which commands take what), `file` (reading and checking it), `show` (`periapt config`).

mod file;
mod show;

pub use show::run;

use super::{Usage, input};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use etcetera::BaseStrategy;
use file::{Setting, read};
use periapt_core::contract::decoding_options;
use periapt_core::decoding::Preference;
use std::path::{Path, PathBuf};

/// The variable that names another file.
const VARIABLE: &str = "PERIAPT_CONFIG";

/// The variable that comes before the file's `memory`.
const MEMORY: &str = "PERIAPT_MEMORY";

/// What computes, and on what.
const COMPUTING: [&str; 7] = [
    "device",
    "kernels",
    "kv",
    "quantize",
    "max-context",
    "memory",
    "cache",
];

/// What is wished for.
const WISH: [&str; 3] = ["prefer", "prompt-set", "system"];

/// Arguments that say it in another way than --prefer.
const INSTEAD: [&str; 3] = ["stream", "persona", "lean"];

/// What measurements take: what is measured, and where.
const MEASURED: [&str; 2] = ["model", "device"];

/// The keys outside tables.
fn keys() -> impl Iterator<Item = String> {
    let decoding = decoding_options().filter(|option| option.group != "beam");
    let decoding = decoding.map(|option| option.name.replace('_', "-"));
    let named = ["model"].into_iter().chain(COMPUTING).chain(WISH);
    let named = named.chain(["method"]).map(str::to_owned);
    named.chain(decoding)
}

/// The keys of the table `[serve]`: all that it takes a value for. What is secret is in no file.
fn serve_keys(grammar: &Command) -> Vec<String> {
    let serve = grammar.find_subcommand("serve").into_iter();
    let own = serve.flat_map(Command::get_arguments);
    own.filter(|arg| arg.get_action().takes_values())
        .filter_map(Arg::get_long)
        .filter(|name| *name != "api-key")
        .map(str::to_owned)
        .collect()
}

/// Whether a command takes a key that stands outside tables.
fn takes(command: &str, key: &str) -> bool {
    match command {
        "generate" | "chat" | "compare" => true,
        "tpo" | "learn" => key == "model" || COMPUTING.contains(&key) || WISH.contains(&key),
        // Its `model` is files, and whom it answers may have other wishes.
        "serve" => COMPUTING.contains(&key),
        "eval" | "score" | "logits" | "tokenize" | "detokenize" => MEASURED.contains(&key),
        _ => false,
    }
}

/// The file that is there, or would be.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    /// Whether PERIAPT_CONFIG names it: then it has to be there.
    is_named: bool,
}

impl Place {
    /// `None` where no home folder is known.
    fn of_user() -> Option<Self> {
        match std::env::var_os(VARIABLE).filter(|_| variable(VARIABLE).is_some()) {
            Some(path) => Some(Self {
                path: path.into(),
                is_named: true,
            }),
            None => Some(Self {
                path: etcetera::choose_base_strategy()
                    .ok()?
                    .config_dir()
                    .join("periapt")
                    .join("config.toml"),
                is_named: false,
            }),
        }
    }

    fn is_there(&self) -> bool {
        self.is_named || self.path.exists()
    }
}

/// A configuration file, all of it checked.
#[derive(Debug)]
pub struct Config {
    path: PathBuf,
    settings: Vec<Setting>,
}

impl Config {
    /// The user's, where there is one; `grammar` is the command line's.
    ///
    /// # Errors
    ///
    /// [`Usage`] for a file that can't be read, and for what it says wrong.
    pub fn of_user(grammar: &Command) -> Result<Option<Self>, Usage> {
        let place = Place::of_user().filter(Place::is_there);
        let read = |place: Place| {
            let option = match place.is_named {
                true => VARIABLE,
                false => "the configuration file",
            };
            let text = input::whole_file(option, &place.path)?;
            let settings = read(&text, &place.path, grammar)?;
            let path = place.path;
            Ok(Self { path, settings })
        };
        place.map(read).transpose()
    }

    /// Whether a command takes anything of it.
    pub fn is_for(command: &str) -> bool {
        keys().any(|key| takes(command, &key))
    }

    /// The grammar with what the file says to a command as its arguments' defaults, and what was taken, in words; `asked` is
    /// what the command line says itself.
    pub fn apply(
        &self,
        grammar: Command,
        command: &str,
        asked: &ArgMatches,
    ) -> (Command, Option<String>) {
        let mut taken: Vec<&str> = Vec::new();
        let grammar = grammar.mut_subcommands(|own| match own.get_name() == command {
            true => own.mut_args(|arg| match self.holds(command, &arg, asked) {
                Some(setting) => {
                    taken.push(&setting.key);
                    arg.default_values(&setting.values)
                }
                None => arg,
            }),
            false => own,
        });
        let said = || {
            format!(
                "{} says {}; --no-config leaves that out",
                self.path.display(),
                taken.join(", ")
            )
        };
        (grammar, (!taken.is_empty()).then(said))
    }

    /// Whether a line of the file stands in the server's table.
    fn is_of_serve(&self, line: usize) -> bool {
        let is_it = |setting: &Setting| setting.line == line && setting.of_serve;
        self.settings.iter().any(is_it)
    }

    /// What the file says of an argument, where that counts.
    fn holds(&self, command: &str, arg: &Arg, asked: &ArgMatches) -> Option<&Setting> {
        let key = arg.get_long()?;
        let setting = self.says(command, key)?;
        let is_given = |id: &str| is_given(asked, id);
        let counts = match key {
            _ if is_given(arg.get_id().as_str()) => false,
            // To reproduce the paper nothing else may be set.
            _ if is_given("paper_compat") && !MEASURED.contains(&key) => false,
            // A server has names of its own.
            "model" => !is_given("engine"),
            // They say themselves what is wished for.
            "prefer" => !INSTEAD.iter().any(|id| is_given(id)) && fits(setting, arg),
            "method" => !INSTEAD.iter().any(|id| is_given(id)) && self.is_wished(asked),
            "memory" => variable(MEMORY).is_none(),
            _ => true,
        };
        counts.then_some(setting)
    }

    /// What the file says to a command: its own table before what stands outside.
    fn says(&self, command: &str, key: &str) -> Option<&Setting> {
        let of = |table: Option<&str>| {
            let is_it = |setting: &&Setting| setting.key == key && setting.table() == table;
            self.settings.iter().find(is_it)
        };
        of(Some(command)).or_else(|| of(None).filter(|_| takes(command, key)))
    }

    /// Whether there is a wish that the file's method can lean to: one, without a weight. Else the methods are base and
    /// guidance, whatever the file says.
    fn is_wished(&self, asked: &ArgMatches) -> bool {
        let given = is_given(asked, "prefer").then(|| asked.get_many::<String>("prefer"));
        let wishes: Vec<&String> = match (given, self.says("generate", "prefer")) {
            (Some(given), _) => given.into_iter().flatten().collect(),
            (None, Some(setting)) => setting.values.iter().collect(),
            (None, None) => Vec::new(),
        };
        matches!(wishes[..], [wish] if is_unweighted(wish))
    }
}

/// Whether the command line itself names an argument.
fn is_given(asked: &ArgMatches, id: &str) -> bool {
    asked.ids().any(|given| given.as_str() == id)
        && asked.value_source(id) == Some(ValueSource::CommandLine)
}

/// What an environment variable says, where it says anything.
fn variable(name: &str) -> Option<String> {
    let value = std::env::var_os(name)?.to_string_lossy().into_owned();
    (!value.trim().is_empty()).then_some(value)
}

/// Whether an argument can take a setting's preferences: one without a weight, or any of them.
fn fits(setting: &Setting, arg: &Arg) -> bool {
    match (is_list(arg), &setting.values[..]) {
        (true, _) => true,
        (false, [wish]) => is_unweighted(wish),
        (false, _) => false,
    }
}

fn is_unweighted(wish: &str) -> bool {
    Preference::parse(&input::typed(wish)).is_ok_and(|wish| wish.weight.is_none())
}

/// Whether an argument may be given several times.
fn is_list(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
}

/// What `doctor` says of the file: where it is, and what is wrong with it.
pub fn checked(grammar: &Command) -> (Option<PathBuf>, Option<String>) {
    let path = Place::of_user().filter(Place::is_there);
    let wrong = Config::of_user(grammar)
        .err()
        .map(|error| error.to_string());
    (path.map(|place| place.path), wrong)
}

/// A file's name with a line of it.
fn at(path: &Path, line: usize) -> String {
    format!("{}: line {line}", path.display())
}
