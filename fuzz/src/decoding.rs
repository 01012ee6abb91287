//! Of core's decoding what traces and records hold.
#![allow(dead_code)]

#[path = "../../core/src/decoding/error.rs"]
mod error;
#[path = "../../core/src/decoding/params.rs"]
mod params;
#[path = "../../core/src/decoding/sampling.rs"]
mod sampling;
#[path = "../../core/src/decoding/token_trace.rs"]
mod token_trace;

pub use error::DecodingError;
pub use params::AmuletParams;
pub use sampling::Sampling;

pub(crate) use error::in_range;

pub mod trace {
    pub use super::token_trace::TokenTrace;
}
