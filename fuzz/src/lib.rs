//! Core's readers of outside input, compiled apart from the rest of core, for the fuzz targets.

#[path = "../../core/src/formats/mod.rs"]
pub mod formats;
#[path = "../../core/src/text/mod.rs"]
pub mod text;
