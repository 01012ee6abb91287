//! Hubs, proxies and servers as people meet them: what reports of other tools tell, tried on ours. Each table names the
//! reports that its rows come from.

mod addresses;
mod downloads;
mod environment;
mod folders;
mod hosts;
#[cfg(unix)]
mod processes;
mod requests;

use crate::common::http::{self, Reply, Request, Server};
use periapt::store::{HubId, Remote, Store, StoreError};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A large file as the hub's API tells of it.
fn large(name: &str, bytes: &[u8]) -> Value {
    let size = bytes.len();
    json!({ "rfilename": name, "size": size, "lfs": { "sha256": hex(Sha256::digest(bytes)), "size": size } })
}

/// A small one, with the id that `git hash-object` gave.
fn small(name: &str, bytes: &[u8], blob: &str) -> Value {
    json!({ "rfilename": name, "size": bytes.len(), "blobId": blob })
}

/// A hub's answer with a body.
fn ok(body: impl Into<Vec<u8>>) -> Reply {
    let body = body.into();
    Reply {
        head: format!("200 OK\r\nContent-Length: {}\r\n", body.len()),
        body,
        hold: false,
    }
}

fn status(head: &str) -> Reply {
    Reply {
        head: format!("{head}\r\nContent-Length: 0\r\n"),
        ..Reply::default()
    }
}

fn listing(files: &[Value]) -> Reply {
    ok(json!({ "sha": COMMIT, "siblings": files }).to_string())
}

/// A hub with one file, `m.gguf`, for which `answer` answers (with the number of the request for it, from 0).
fn hub_of(bytes: &[u8], answer: impl Fn(usize, &Request) -> Reply + Send + 'static) -> Server {
    let files = [large("m.gguf", bytes)];
    let asked = std::sync::atomic::AtomicUsize::new(0);
    Server::start(move |_, request| match request.path.starts_with("/api/") {
        true => listing(&files),
        false => answer(
            asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
            request,
        ),
    })
}

fn store(hub: &str, root: &Path) -> Store {
    let remote = Remote {
        hub: hub.to_owned(),
        retry_pause: Duration::ZERO,
        ..Remote::default()
    };
    Store::at(root, remote, &[]).unwrap()
}

fn id(text: &str) -> HubId {
    HubId::parse(text).unwrap()
}

fn pull(store: &Store, name: &str) -> Result<PathBuf, StoreError> {
    store.pull_hub(&id(name), &mut |_| {})
}

/// Bytes that no encoding makes smaller by much, and no two parts of which are alike.
fn bytes(count: usize) -> Vec<u8> {
    let numbers = (0_u32..).map(|number| number.wrapping_mul(2_654_435_761));
    numbers.flat_map(u32::to_le_bytes).take(count).collect()
}

/// A port of this machine where nobody listens.
fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// The real binary without this machine's own proxies and hub.
fn command(args: &[&str], vars: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_periapt"));
    command.args(args).stdin(Stdio::null());
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

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// Fails where the process is still there after longer than any machine takes; it is killed then.
fn ends(mut process: Child) -> std::process::ExitStatus {
    for _ in 0..1200 {
        if let Some(status) = process.try_wait().unwrap() {
            return status;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let _ = process.kill();
    let _ = process.wait();
    panic!("the process does not end");
}
