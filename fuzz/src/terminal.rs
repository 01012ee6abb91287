//! Of the program's terminal what makes text harmless.
#![allow(dead_code, unused_imports)]

#[path = "../../native/src/terminal/clean.rs"]
mod clean;

pub use clean::{line, shown};
