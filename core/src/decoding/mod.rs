//! From prompts to streams, and from the streams' logits to one token. This folder uses `model`
//! for its logits alone: it never looks into a layer, and the sampler never sees a cache.

pub mod amulet;
pub mod beam;
mod error;
pub mod guidance;
mod method;
mod params;
pub mod preference;
mod prompt_set;
pub mod sampler;
mod sampling;
pub mod streams;
mod token_trace;
pub mod trace;
pub mod wishes;

pub use error::DecodingError;
pub use method::{Method, MethodName, Strength};
pub use params::AmuletParams;
pub use preference::Preference;
pub use prompt_set::PromptSet;
pub use sampler::Sampler;
pub use sampling::{Adaptive, Sampling};
pub use streams::Conversation;
