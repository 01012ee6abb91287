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
use crate::common::hub::{COMMIT, hex, id, large, ok, pull, status, store};
use crate::common::page::Page;
use crate::common::{command, said};
use periapt::store::{Remote, Store, StoreError};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A small one, with the id that `git hash-object` gave.
fn small(name: &str, bytes: &[u8], blob: &str) -> Value {
    json!({ "rfilename": name, "size": bytes.len(), "blobId": blob })
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
