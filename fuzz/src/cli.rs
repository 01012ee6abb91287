//! Of the program what reads traces and records and shows them.
#![allow(dead_code)]

#[path = "../../native/src/cli/lines.rs"]
pub mod lines;
#[path = "cli_tpo.rs"]
pub mod tpo;
#[path = "cli_trace.rs"]
pub mod trace;
