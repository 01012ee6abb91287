//! The readers of outside input, compiled apart from the rest of core and the program, for the fuzz targets.

// The program's own files name core as it is called there.
extern crate self as periapt_core;

pub mod cli;
pub mod decoding;
#[path = "../../core/src/formats/mod.rs"]
pub mod formats;
pub mod terminal;
#[path = "../../core/src/text/mod.rs"]
pub mod text;
pub mod tpo;

pub mod reward {
    pub use crate::tpo::Cut;
}

pub mod session {
    pub use crate::tpo::FinishReason;
}
