//! Of core's refinement what records hold, and what checks them.
#![allow(dead_code)]

#[path = "../../core/src/tpo/check.rs"]
mod check;
#[path = "../../core/src/reward/cut.rs"]
mod cut;
#[path = "../../core/src/session/finish.rs"]
mod finish;
#[path = "../../core/src/tpo/options.rs"]
mod options;
#[path = "../../core/src/tpo/prompt_name.rs"]
mod prompt_name;
#[path = "../../core/src/tpo/record.rs"]
pub mod record;

pub use check::Check;
pub use cut::Cut;
pub use finish::FinishReason;
pub use options::{Mode, Options};
pub use record::{Candidate, Line};

pub mod prompts {
    pub use super::prompt_name::PromptName;
}

/// Of the refinement's errors those of its options.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{name} = {value} is out of range: it must be {range}")]
    OutOfRange {
        name: &'static str,
        value: usize,
        range: &'static str,
    },
    #[error(transparent)]
    Decoding(#[from] crate::decoding::DecodingError),
}
