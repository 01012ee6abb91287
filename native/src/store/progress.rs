//! What a pull tells its caller while it runs.

use std::fmt;

/// One report of a running pull or verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress<'a> {
    /// A line for the user, to be printed once: what is being pulled, a source that failed and why, a restart,
    /// a wait for another process.
    Notice(&'a str),
    /// How far the present phase has come.
    Step {
        /// What is being done.
        phase: Phase,
        /// Where the bytes come from: a source's label, or the file's name when verifying.
        source: &'a str,
        /// Bytes done, those of an earlier, interrupted pull included.
        bytes: u64,
        /// Bytes in all.
        total: u64,
    },
}

/// The phases of a pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Waiting for the source's first answer.
    Connecting,
    /// Bytes are coming in.
    Downloading,
    /// The file is being taken out of a package.
    Extracting,
    /// The whole file is being hashed.
    Verifying,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connecting => "connecting",
            Self::Downloading => "downloading",
            Self::Extracting => "extracting",
            Self::Verifying => "verifying",
        })
    }
}

/// The caller's ear for progress.
pub type Callback<'a> = &'a mut dyn FnMut(Progress<'_>);
