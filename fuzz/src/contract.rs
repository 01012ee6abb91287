//! Of core's contract what files begin with.
#![allow(dead_code, unused_imports)]

#[path = "../../core/src/contract/header.rs"]
mod header;

pub use header::{RECORD_FORMAT, RecordHeader, RunHeader, TRACE_FORMAT};
