//! Periapt's engine: a language model aligned with its user at the moment it answers.
//!
//! Everything here compiles to native targets and to wasm32. There are no files, sockets, clocks
//! or printing: bytes and callbacks come in, values go out.
//!
//! Ask a model with a preference, and hear the answer as it is written:
//!
//! ```no_run
//! use periapt_core::decoding::{Conversation, Method, PromptSet, Sampling};
//! use periapt_core::session::{Event, GenerateRequest};
//! use periapt_core::{DeviceChoice, Session, device};
//! use std::ops::ControlFlow;
//!
//! # async fn ask() -> Result<(), Box<dyn std::error::Error>> {
//! let device = device::open(DeviceChoice::Auto).await?;
//! let mut file = std::io::BufReader::new(std::fs::File::open("model.gguf")?);
//! let session = Session::load(&mut file, &device, &mut |_done, _total| ())?;
//! let request = GenerateRequest {
//!     conversations: vec![Conversation {
//!         preference: Some(PromptSet::default().instruction("concise")),
//!         question: "Why is the sky blue?".to_owned(),
//!         ..Conversation::default()
//!     }],
//!     method: Method::LinearAlignment { strength: 2.0 },
//!     sampling: Sampling { plausibility: 0.1, ..Sampling::default() },
//!     ..GenerateRequest::default()
//! };
//! let on_event = &mut async |event: Event<'_>| {
//!     if let Event::Token { text, .. } = event {
//!         print!("{text}");
//!     }
//!     ControlFlow::Continue(())
//! };
//! let answers = session.generate(&request, on_event).await?;
//! println!(" [{} tokens]", answers[0].token_ids.len());
//! # Ok(())
//! # }
//! ```
//!
//! `examples/` has a chat, a decoding method of one's own as weighted prompts, and a reward of one's own for the refinement
//! loop.
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
//! 10. [`persona`]: what a person likes, learnt from what they choose.
//! 11. [`contract`]: what faces ask and hear, all of it once; [`options`] is what an option is.

#![recursion_limit = "256"]

pub mod contract;
pub mod decoding;
pub mod device;
pub mod formats;
pub mod kernels;
pub mod load;
pub mod model;
pub mod options;
pub mod persona;
pub mod reward;
pub mod session;
pub mod text;
pub mod tpo;

pub use device::{DeviceChoice, DeviceInfo, OpenDevice};
pub use session::{Error, Session};
