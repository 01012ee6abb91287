//! Of core's decoding what traces and records hold.
#![allow(dead_code)]

#[path = "../../core/src/decoding/error.rs"]
mod error;
#[path = "../../core/src/decoding/method.rs"]
mod method;
#[path = "../../core/src/decoding/params.rs"]
mod params;
#[path = "../../core/src/decoding/preference.rs"]
pub mod preference;
#[path = "../../core/src/decoding/prompt_set.rs"]
mod prompt_set;
#[path = "../../core/src/decoding/sampling.rs"]
mod sampling;
#[path = "../../core/src/decoding/streams.rs"]
pub mod streams;
#[path = "../../core/src/decoding/token_trace.rs"]
mod token_trace;
#[path = "../../core/src/decoding/wishes.rs"]
mod wishes;

pub use error::DecodingError;
pub use method::{Method, MethodName, Strength};
pub use params::AmuletParams;
pub use prompt_set::PromptSet;
pub use sampling::Sampling;

pub mod trace {
    pub use super::token_trace::TokenTrace;
}
