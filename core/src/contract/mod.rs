//! What a face of the engine is asked and what it answers, each thing once: requests, events, results, the headers of
//! traces and records. The page's worker and whatever else speaks JSON read and write these types; with the feature
//! `contract` they are TypeScript's, too ([`typescript`]), and the structs of options are arguments of the command line.

mod chat;
mod generate;
mod header;
mod persona;
mod refine;
mod session;
#[cfg(feature = "contract")]
pub mod typescript;
mod unknown;

pub use chat::{Chat, ChatPrompt, ScoreParams, ScoreResult};
pub use generate::{AnswerResult, GenerateParams, GenerateResult, Length, WeightedPreference};
pub use header::{
    HeaderKind, ModelFile, ModelHash, ModelInfo, RECORD_FORMAT, RecordHeader, RunHeader,
    StreamLine, TRACE_FORMAT,
};
pub use persona::{PersonaChange, PersonaParams, PersonaResult};
pub use refine::{AskEvent, CandidateResult, RefineParams, RefineRequest, RefineResult};
pub use session::{hex, sha256};

use crate::decoding::{AmuletParams, MethodName, Sampling, Strength, beam::BeamParams};
use crate::options::OptionInfo;
use crate::tpo::{RefineDraws, RefineSize};

/// Why a request can't be met as it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadRequest(pub String);

/// All options of decoding, in the order in which they are shown.
pub fn decoding_options() -> impl Iterator<Item = &'static OptionInfo> {
    [
        AmuletParams::OPTIONS,
        Strength::OPTIONS,
        Length::OPTIONS,
        Sampling::OPTIONS,
        BeamParams::OPTIONS,
    ]
    .into_iter()
    .flatten()
}

/// All options of a refinement.
pub fn refine_options() -> impl Iterator<Item = &'static OptionInfo> {
    [RefineSize::OPTIONS, RefineDraws::OPTIONS]
        .into_iter()
        .flatten()
}

/// The methods that heed the options of a group.
#[must_use]
pub fn methods_of(group: &str) -> &'static [MethodName] {
    use MethodName::{Amulet, Base, Beam, Guidance, La, Pref};
    match group {
        "amulet" => &[Amulet],
        "la" => &[La],
        "beam" => &[Beam],
        "guard" => &[La, Amulet, Guidance],
        "sampling" => &[Base, Pref, La, Amulet, Guidance],
        _ => &[Base, Pref, La, Amulet, Beam, Guidance],
    }
}
