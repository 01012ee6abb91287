//! Of core's refinement what records hold, and what follows their lines.
#![allow(dead_code)]

#[path = "../../core/src/session/finish.rs"]
mod finish;
#[path = "../../core/src/tpo/options.rs"]
mod options;
#[path = "../../core/src/tpo/outcome.rs"]
mod outcome;
#[path = "../../core/src/tpo/prompts.rs"]
pub mod prompts;
#[path = "../../core/src/tpo/record.rs"]
pub mod record;
#[path = "../../core/src/tpo/state.rs"]
mod state;

pub use finish::FinishReason;
pub use options::{Mode, Options, Query};
pub use outcome::{BestOf, Comparison, Outcome, Round};
pub use prompts::PromptName;
pub use record::{Candidate, RecordLine};
pub use state::State;

/// Of the refinement's errors those of its options and prompts.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    OutOfRange(#[from] crate::options::OutOfRange),
    #[error("the prompt {name}: {reason}")]
    Prompt { name: &'static str, reason: String },
    #[error(transparent)]
    Decoding(#[from] crate::decoding::DecodingError),
}
