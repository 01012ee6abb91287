//! What can go wrong in the store, in words that say what to do.

use periapt_core::formats::gguf::Split;
use std::{fmt, io, path::PathBuf};

/// An error of the model store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A variable of the environment holds what cannot be used.
    #[error("{name}: {why}")]
    Variable {
        /// The variable.
        name: &'static str,
        /// What is wrong with it, without what may be secret.
        why: String,
    },
    /// Nobody may be asked.
    #[error(
        "`{what}` is not here, and {variable} forbids to ask for it: unset it, or put the model into the store another way"
    )]
    Offline {
        /// What was wanted.
        what: String,
        /// The variable that forbids it.
        variable: &'static str,
    },
    /// No folder for the store can be found.
    #[error(
        "no home folder is known, so there is no place for models: set PERIAPT_MODELS to a folder"
    )]
    NoCacheDir,
    /// A name that could mean something outside the store, or one of the store's own helper files.
    #[error(
        "`{0}` is not a model name: a name is one of the known models, or a file name in the store that ends in .gguf (no path, no leading dot)"
    )]
    BadName(String),
    /// The text after `--model` names no known model.
    #[error(
        "unknown model `{name}`: {}it may be the path of a GGUF file, OWNER/NAME on the hub, or one of: {}",
        match near.is_empty() {
            true => String::new(),
            false => format!("did you mean `{}`? Or else ", near.join("` or `")),
        },
        known.join(", ")
    )]
    UnknownModel {
        /// What was asked for.
        name: String,
        /// Those of them that it looks like.
        near: Vec<String>,
        /// The names that would have worked.
        known: Vec<String>,
    },
    /// The text after `--model` looks like a path, and nothing is there.
    #[error("no such file: {}", .0.display())]
    NoSuchFile(PathBuf),
    /// The path names something that is not a plain file.
    #[error("not a file: {}", .0.display())]
    NotAFile(PathBuf),
    /// A file of a split model whose others are not to be found by its name.
    #[error(
        "{} is file {} of the {} that its model is split into, but its name does not end in {}, by which the others \
         are found: give it its name back",
        path.display(), u64::from(split.no) + 1, split.count, split.ending()
    )]
    SplitName {
        /// The file.
        path: PathBuf,
        /// Which of them it is.
        split: Split,
    },
    /// A file of a split model is not there.
    #[error("{} is missing, one of the {count} files that the model is split into: get it, too", path.display())]
    MissingShard {
        /// The file.
        path: PathBuf,
        /// How many files there are.
        count: u32,
    },
    /// The model is not in the store.
    #[error("`{name}` is not in the store {}: `periapt models list` shows what is", root.display())]
    NotInStore {
        /// The model's name.
        name: String,
        /// The store's folder.
        root: PathBuf,
    },
    /// Only a part of the model is in the store.
    #[error(
        "`{name}` is only partly in the store ({have} of {want} bytes): `periapt models pull {name}` goes on from there"
    )]
    Partial {
        /// The model's name.
        name: String,
        /// Bytes already there.
        have: u64,
        /// Bytes of the whole file.
        want: u64,
    },
    /// A known model's file has another size than the model.
    #[error(
        "{} has {have} bytes, but `{name}` has {want}: remove it (`periapt models rm {name}`) and pull it again (`periapt models pull {name}`)",
        path.display()
    )]
    WrongSize {
        /// The model's name.
        name: String,
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        have: u64,
        /// The size it should have.
        want: u64,
    },
    /// A known model's file holds other bytes than the model.
    #[error(
        "{} is damaged: its {kind} is {have}, but `{name}` has {want}: remove it (`periapt models rm {name}`) and pull it again (`periapt models pull {name}`)",
        path.display()
    )]
    HashMismatch {
        /// The model's name.
        name: String,
        /// The file.
        path: PathBuf,
        /// Which hash.
        kind: &'static str,
        /// The file's hash.
        have: String,
        /// The hash it should have.
        want: String,
    },
    /// Another process is pulling this model.
    #[error("`{0}` is being pulled by another periapt process: wait for it or stop it first")]
    Busy(String),
    /// The disk (or the quota) is full.
    #[error(
        "the disk is full: {} could not grow past {kept} bytes. What is there is kept: make room (or set PERIAPT_MODELS to a folder on another disk) and pull again",
        path.display()
    )]
    DiskFull {
        /// The file being written.
        path: PathBuf,
        /// Its size in bytes.
        kept: u64,
    },
    /// The store's folder cannot be made or written.
    #[error(
        "cannot write in the model store {}: {source}. Set PERIAPT_MODELS to a folder that you can write",
        root.display()
    )]
    Unwritable {
        /// The store's folder.
        root: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The store's folder cannot be read.
    #[error(
        "cannot read the model store {}: {source}. PERIAPT_MODELS sets another folder",
        root.display()
    )]
    Unreadable {
        /// The store's folder.
        root: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Reading or writing a file failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The hub lets nobody in, or not this token.
    #[error(
        "the hub refuses `{id}` ({status}): {}. Gated models want their terms accepted on the hub's page first; a \
         misspelt name looks the same",
        match (token, withheld) {
            (true, _) => "the token in HF_TOKEN has no access to it",
            (_, true) => "HF_TOKEN was not sent, since HF_ENDPOINT is no https:// address",
            _ => "it may need an account's token in HF_TOKEN",
        }
    )]
    HubRefused {
        /// What was asked for.
        id: String,
        /// The HTTP status.
        status: u16,
        /// Whether a token was sent.
        token: bool,
        /// Whether there is one that may not go to this hub.
        withheld: bool,
    },
    /// The hub has no such repository or revision.
    #[error(
        "the hub has no `{0}`: neither a file here nor a model there has this name, or the revision is not there"
    )]
    HubNotFound(String),
    /// The repository holds nothing that we load.
    #[error("`{0}` has no model that can be loaded: no *.gguf file and no model.safetensors")]
    HubNoModel(String),
    /// Several files may be meant.
    #[error("which file of `{id}`? Write {repo}:FILE with one of: {}", files.join(", "))]
    HubChoice {
        /// What was asked for.
        id: String,
        /// The repository.
        repo: String,
        /// Its files.
        files: Vec<String>,
    },
    /// The hub did not give the model.
    #[error("`{id}` could not be pulled: {why}")]
    HubFailed {
        /// What was asked for.
        id: String,
        /// What went wrong.
        why: String,
    },
    /// No source gave the model.
    #[error(
        "`{name}` could not be pulled from any source:\n{}\nTry again later, or get the file {file} ({bytes} bytes, sha256 {sha256}) by hand and give it with `--model PATH`, or put it at {}",
        reasons.iter().map(|(source, why)| format!("  - {source}: {why}")).collect::<Vec<_>>().join("\n"),
        place.display()
    )]
    AllSourcesFailed {
        /// The model's name.
        name: &'static str,
        /// The file to look for by hand.
        file: &'static str,
        /// Its size.
        bytes: u64,
        /// Its hash.
        sha256: &'static str,
        /// For each source, why it failed.
        reasons: Vec<(String, String)>,
        /// Where the store looks for the file.
        place: PathBuf,
    },
}

impl StoreError {
    /// What is wrong with the variable `name`.
    pub(super) fn variable(name: &'static str, why: impl Into<String>) -> Self {
        let why = why.into();
        Self::Variable { name, why }
    }

    /// Wraps an I/O error of `action` on `path`; for use with `map_err`.
    pub(super) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    /// What this error of a model from the hub means for a pull that has other sources, too.
    pub(super) fn of_source(self) -> Failed {
        match self {
            Self::HubRefused { .. }
            | Self::HubNotFound(_)
            | Self::HubNoModel(_)
            | Self::HubChoice { .. }
            | Self::HubFailed { .. } => Failed::Source(self.to_string()),
            error => Failed::Store(error),
        }
    }

    /// A failed write to `path`, which holds `kept` bytes by now.
    pub(super) fn write(path: impl Into<PathBuf>, kept: u64, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull {
                path: path.into(),
                kept,
            },
            _ => Self::io("write", path)(source),
        }
    }
}

/// Why one source did not give the file.
#[derive(Debug)]
pub(super) enum Failed {
    /// This source's own fault: the next one is tried.
    Source(String),
    /// The server refuses access with this HTTP status.
    Refused(u16),
    /// The machine's: no other source would do better.
    Store(StoreError),
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(why) => f.write_str(why),
            Self::Refused(status) => write!(
                f,
                "the server refuses access ({status}); if the model needs an account, set HF_TOKEN"
            ),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl From<StoreError> for Failed {
    fn from(e: StoreError) -> Self {
        Self::Store(e)
    }
}
