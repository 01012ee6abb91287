//! What a hub answers, and a store that asks it.

use super::http::Reply;
use periapt::store::{HubId, Remote, Store, StoreError};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub const TOKEN: &str = "hf_secret_of_the_test";
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

pub fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A large file as the hub's API tells of it.
pub fn large(name: &str, bytes: &[u8]) -> Value {
    let size = bytes.len();
    json!({ "rfilename": name, "size": size, "lfs": { "sha256": hex(Sha256::digest(bytes)), "size": size } })
}

/// A hub's answer with a body.
pub fn ok(body: impl Into<Vec<u8>>) -> Reply {
    let body = body.into();
    Reply {
        head: format!("200 OK\r\nContent-Length: {}\r\n", body.len()),
        body,
        hold: false,
    }
}

pub fn status(head: &str) -> Reply {
    Reply {
        head: format!("{head}\r\nContent-Length: 0\r\n"),
        ..Reply::default()
    }
}

/// That hub, at which nothing is waited for.
pub fn remote(hub: &str) -> Remote {
    Remote {
        hub: hub.to_owned(),
        pip: Vec::new(),
        retry_pause: Duration::ZERO,
        ..Remote::default()
    }
}

pub fn store(hub: &str, root: &Path) -> Store {
    Store::at(root, remote(hub), &[]).unwrap()
}

pub fn id(text: &str) -> HubId {
    HubId::parse(text).unwrap()
}

pub fn pull(store: &Store, name: &str) -> Result<PathBuf, StoreError> {
    store.pull_hub(&id(name), &mut |_| {})
}
