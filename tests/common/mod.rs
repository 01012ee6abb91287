//! What the integration tests share. A test that lacks what it needs skips aloud; with
//! PERIAPT_REQUIRE_ALL set (as in CI) it fails instead.

#![allow(dead_code)]

use periapt_core::device::{self, DeviceChoice, OpenDevice};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Says that a test is skipped, or fails where nothing may be skipped.
pub fn skip(what: &str) {
    assert!(
        std::env::var_os("PERIAPT_REQUIRE_ALL").is_none(),
        "PERIAPT_REQUIRE_ALL is set, and this test would be skipped: {what}"
    );
    eprintln!("SKIPPED: {what}");
}

/// The real default model's file.
pub fn model() -> Option<PathBuf> {
    let path = std::env::var_os("PERIAPT_TEST_MODEL").map(PathBuf::from);
    if path.is_none() {
        skip("PERIAPT_TEST_MODEL names no model file");
    }
    path
}

/// A device of that kind.
pub fn device(choice: DeviceChoice) -> Option<OpenDevice> {
    match pollster::block_on(device::open(choice)) {
        Ok(open) => Some(open),
        Err(error) => {
            skip(&error.to_string());
            None
        }
    }
}

/// A golden file.
pub fn golden(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fixtures/golden")
        .join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A JSON array of token ids.
pub fn ids(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap_or_else(|e| panic!("token ids: {e}"))
}
