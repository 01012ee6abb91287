//! What the integration tests share. A test that lacks what it needs skips aloud; with
//! PERIAPT_REQUIRE_ALL set (as in CI) it fails instead.

pub mod api;
pub mod http;
pub mod hub;
pub mod page;
pub mod place;
pub mod tiny;

use periapt_core::Session;
use periapt_core::device::{self, DeviceChoice, OpenDevice};
use periapt_core::model::KvType;
use serde_json::Value;
use std::ffi::OsStr;
use std::fmt::Debug;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use temp_dir::TempDir;

/// Says that a test is skipped, or fails where nothing may be skipped.
pub fn skip(what: &str) {
    assert!(
        std::env::var_os("PERIAPT_REQUIRE_ALL").is_none_or(|all| all.is_empty()),
        "PERIAPT_REQUIRE_ALL is set, and this test would be skipped: {what}"
    );
    eprintln!("SKIPPED: {what}");
}

/// The real small model's file.
pub fn model() -> Option<PathBuf> {
    let path = std::env::var_os("PERIAPT_TEST_MODEL").filter(|path| !path.is_empty());
    let path = path.map(PathBuf::from);
    if path.is_none() {
        skip("PERIAPT_TEST_MODEL names no model file");
    }
    path
}

/// The real small model's file, as an argument.
pub fn model_arg() -> Option<String> {
    Some(model()?.to_str().unwrap().to_owned())
}

/// The real small model on a device of that kind.
pub fn session(choice: DeviceChoice, kv: KvType) -> Option<Session> {
    let (device, path) = (device(choice)?, model()?);
    Some(load(&path, &device, kv))
}

/// A GGUF file on that device.
pub fn load(path: &Path, device: &OpenDevice, kv: KvType) -> Session {
    let mut file = BufReader::new(File::open(path).unwrap());
    let mut session = Session::load(&mut file, device, &mut |_, _| {}).unwrap();
    session.kv = kv;
    session
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

/// A tiny model that other libraries wrote: a folder, or a GGUF file.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fixtures/models")
        .join(name)
}

/// A copy of a fixture's folder, to break.
pub fn copy(name: &str) -> TempDir {
    let copy = TempDir::new().unwrap();
    for file in std::fs::read_dir(fixture(name)).unwrap() {
        let file = file.unwrap().path();
        std::fs::copy(
            &file,
            copy.child(file.file_name().unwrap().to_str().unwrap()),
        )
        .unwrap();
    }
    copy
}

pub fn str(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A configuration file that says nothing, in place of this user's own.
pub fn no_config() -> PathBuf {
    fixture("../none.toml")
}

/// Runs the real binary.
pub fn periapt(args: &[impl AsRef<OsStr>]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_periapt"))
        .args(args)
        .env("PERIAPT_CONFIG", no_config())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// The real binary without this machine's own proxies, hub and configuration.
pub fn command(args: &[&str], vars: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_periapt"));
    command.args(args).stdin(Stdio::null());
    command.env("PERIAPT_CONFIG", no_config());
    for name in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command
            .env_remove(name)
            .env_remove(name.to_ascii_lowercase());
    }
    for name in [
        "HF_ENDPOINT",
        "HF_TOKEN",
        "HF_HUB_OFFLINE",
        "TRANSFORMERS_OFFLINE",
    ] {
        command.env_remove(name);
    }
    command.envs(vars.iter().copied());
    command
}

/// The JSON that a call prints.
pub fn json(args: &[impl AsRef<OsStr> + Debug]) -> Value {
    parsed(args, &periapt(args))
}

/// The JSON that a call printed.
pub fn parsed(args: &[impl Debug], output: &Output) -> Value {
    assert!(output.status.success(), "{args:?}: {}", stderr(output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| {
        panic!(
            "{args:?}: {e} in {}",
            String::from_utf8_lossy(&output.stdout)
        )
    })
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// All that a call said, wherever.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// Fails with that exit code, says every word of `says`, and does not panic.
pub fn fails(args: &[impl AsRef<OsStr> + Debug], code: i32, says: &[&str]) {
    expect_failure(args, &periapt(args), code, says);
}

/// The same of a call that was made.
pub fn expect_failure(args: &[impl Debug], output: &Output, code: i32, says: &[&str]) {
    let error = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {error}");
    assert!(!error.contains("panicked"), "{args:?}: {error}");
    for word in says {
        assert!(
            error.contains(word),
            "{args:?} does not say {word:?}: {error}"
        );
    }
}
