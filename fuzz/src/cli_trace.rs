//! A trace.

#[path = "../../native/src/cli/trace/format.rs"]
pub mod format;
#[path = "../../native/src/cli/trace/html.rs"]
pub mod html;
