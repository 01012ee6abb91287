//! Periapt's engine: a language model aligned with its user at the moment it answers.
//!
//! Everything here compiles to native targets and to wasm32. There are no files, sockets, clocks
//! or printing: bytes and callbacks come in, values go out.
//!
//! Reading order, which is also the way of one token:
//!
//! 1. [`formats`]: bytes to named, typed, bounded tensors (GGUF, block quantization).
//! 2. [`text`]: messages to token ids and back (tokenizer, chat template).
//! 3. [`kernels`]: the operations burn lacks, each as WGSL and as a plain Rust twin.
//! 4. [`model`]: the decoder, and its KV cache.
//! 5. [`load`]: files to a decoder and its tokenizer.
//! 6. [`decoding`]: prompts to streams, streams' logits to one token.
//! 7. [`session`]: the one front door.
//! 8. [`reward`]: a response to a score.
//! 9. [`tpo`]: the refinement loop over both.
//! 10. [`contract`]: what faces ask and hear, all of it once; [`options`] is what an option is.

#![recursion_limit = "256"]

pub mod contract;
pub mod decoding;
pub mod device;
pub mod formats;
pub mod kernels;
pub mod load;
pub mod model;
pub mod options;
pub mod reward;
pub mod session;
pub mod text;
pub mod tpo;

pub use device::{DeviceChoice, DeviceInfo, OpenDevice};
pub use session::{Error, Session};
