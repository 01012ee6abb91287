//! A refinement's record.

#[path = "../../native/src/cli/tpo/figures.rs"]
pub mod figures;
#[path = "../../native/src/cli/tpo/format.rs"]
pub mod format;
#[path = "../../native/src/cli/tpo/page.rs"]
pub mod page;
