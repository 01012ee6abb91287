//! Clients that mean harm, or behave as if they did, against the real server: each is refused or bounded, others are served
//! meanwhile, and nothing of them is left behind.

use crate::common::api::{CHAT, ask, chat, metric, post, said, start, until};
use crate::common::page::Page;
use crate::common::place::Place;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Bytes that no request may have.
const LARGE: usize = 100 << 20;

/// Files and sockets that the server holds; 0 where the system does not say.
fn handles(server: &Page) -> usize {
    let process = server.process.as_ref().unwrap().id();
    fs::read_dir(format!("/proc/{process}/fd")).map_or(0, Iterator::count)
}

/// The same once the connections are closed that were there.
fn baseline(server: &Page) -> usize {
    let now = |_| {
        std::thread::sleep(Duration::from_millis(20));
        handles(server)
    };
    (0..10).map(now).min().unwrap()
}

/// The most memory that it ever had, in KiB; 0 where the system does not say.
fn peak(server: &Page) -> usize {
    let process = server.process.as_ref().unwrap().id();
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse().ok())
        .unwrap_or(0)
}

fn head(server: &Page, more: &str) -> String {
    format!(
        "POST {CHAT} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n{more}\r\n\r\n",
        server.port
    )
}

/// How an answer begins: its version and status.
fn status(stream: &mut TcpStream) -> String {
    let mut begin = [0; 12];
    stream.read_exact(&mut begin).unwrap();
    String::from_utf8_lossy(&begin).into_owned()
}

/// Drawn, since greedily the tiny model has nothing to say.
fn why() -> Value {
    chat("Why?", json!({ "temperature": 2, "seed": 23 }))
}

#[test]
fn a_head_a_byte_at_a_time_is_let_go() {
    let place = Place::new();
    let server = start(&place, &["--head-timeout", "1"]);
    let want = ask(&server, CHAT, &why())["choices"].clone();
    let mut slow = server.connect();
    let mut endless = head(&server, "X: ").trim_end().to_owned();
    endless.push_str(&"x".repeat(4000));
    let mut bytes = endless.bytes();
    // It stays within every other limit, so that nothing but the time can end it.
    while slow.write_all(&[bytes.next().unwrap()]).is_ok() {
        std::thread::sleep(Duration::from_millis(25));
        if bytes.len().is_multiple_of(20) {
            assert_eq!(ask(&server, CHAT, &why())["choices"], want);
        }
    }
    let mut answer = Vec::new();
    let _ = slow.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(!answer.contains(" 200 "), "{answer}");
}

#[test]
fn idle_connections_are_bounded() {
    let place = Place::new();
    let server = start(&place, &["--max-connections", "100"]);
    let want = ask(&server, CHAT, &why())["choices"].clone();
    let before = baseline(&server);
    let idle: Vec<TcpStream> = (0..500).map(|_| server.connect()).collect();
    for _ in 0..4 {
        assert_eq!(ask(&server, CHAT, &why())["choices"], want);
    }
    until(|| handles(&server) <= before + 100);
    drop(idle);
    until(|| handles(&server) <= before);
}

#[test]
fn a_body_of_100_megabytes_is_refused_unread() {
    let place = Place::new();
    let server = start(&place, &[]);
    let want = ask(&server, CHAT, &why())["choices"].clone();
    let before = peak(&server);
    // By its length, before a byte of it comes; who asks whether to send it is not told to go on.
    for more in ["", "\r\nExpect: 100-continue"] {
        let declared = format!("Content-Length: {LARGE}{more}");
        let mut stream = server.connect();
        stream
            .write_all(head(&server, &declared).as_bytes())
            .unwrap();
        assert_eq!(status(&mut stream), "HTTP/1.1 413");
    }
    // One that does not say its length, by what has come.
    let mut stream = server.connect();
    stream
        .write_all(head(&server, "Transfer-Encoding: chunked").as_bytes())
        .unwrap();
    let part = vec![b' '; 1 << 20];
    let sent = (0..LARGE / part.len()).take_while(|_| {
        let begun = stream.write_all(format!("{:x}\r\n", part.len()).as_bytes());
        begun
            .and_then(|()| stream.write_all(&part))
            .and_then(|()| stream.write_all(b"\r\n"))
            .is_ok()
    });
    let sent = sent.count();
    assert!(sent < LARGE / part.len(), "{sent}");
    assert_eq!(status(&mut stream), "HTTP/1.1 413");
    assert_eq!(ask(&server, CHAT, &why())["choices"], want);
    let grown = peak(&server) - before;
    assert!(grown < LARGE / 2 / 1024, "{grown} KiB");
}

/// Another site's page, and a name of its own that leads here: both are refused before anything is computed.
#[test]
fn other_sites_compute_nothing_here() {
    let place = Place::new();
    let server = start(&place, &[]);
    let body = why().to_string();
    let from = |host: &str, more: &str| {
        let length = body.len();
        let head = format!("POST {CHAT} HTTP/1.1\nHost: {host}\nContent-Length: {length}{more}");
        server.post(&head, body.as_bytes()).status
    };
    for origin in [
        "https://evil.example",
        "http://evil.example",
        "null",
        "http://127.0.0.1",
        "http://localhost.evil.example",
        "file://",
    ] {
        assert_eq!(
            from("HOST", &format!("\nOrigin: {origin}")),
            403,
            "{origin}"
        );
    }
    for host in ["evil.example", "127.0.0.1", "HOST.evil.example", "[::1]"] {
        assert_eq!(from(host, ""), 403, "{host}");
    }
    assert_eq!(metric(&server, "periapt_generated_tokens_total"), 0.0);
    let own = format!("\nOrigin: http://127.0.0.1:{}", server.port);
    assert_eq!(from("HOST", &own), 200);
}

/// One of many requests, of any kind.
fn any(random: &mut impl FnMut(usize) -> usize) -> Value {
    let method = ["base", "pref", "la", "amulet"][random(4)];
    let alignment = json!({ "preference": "brief", "method": method, "prompt_set": "paper" });
    let more = json!({
        "alignment": alignment,
        "n": 1 + random(2),
        "temperature": random(3),
        "seed": random(1000),
        "max_tokens": 20 + random(100),
        "stream": random(2) == 0,
    });
    chat(&"Why so? ".repeat(1 + random(12)), more)
}

/// Asks, and breaks off somewhere; or doesn't.
fn bother(server: &Page, random: &mut impl FnMut(usize) -> usize) {
    let body = any(random);
    let text = body.to_string();
    let head = head(server, &format!("Content-Length: {}", text.len()));
    let whole = [head.as_bytes(), text.as_bytes()].concat();
    let mut stream = server.connect();
    let sent = match random(6) {
        0 => random(head.len()),
        1 => head.len() + random(text.len()),
        _ => whole.len(),
    };
    stream.write_all(&whole[..sent]).unwrap();
    if sent < whole.len() {
        return;
    }
    match random(4) {
        0 => {}
        1 => {
            let mut some = vec![0; 1 + random(4000)];
            // A short answer may have ended.
            let _ = stream.read(&mut some);
        }
        2 => {
            stream.shutdown(Shutdown::Write).unwrap();
            let _ = stream.read(&mut [0; 100]);
        }
        _ => {
            drop(stream);
            let answer = post(server, CHAT, &body);
            assert_eq!(answer.status, 200, "{body}: {}", answer.head);
        }
    }
}

#[test]
fn requests_that_break_off_leave_nothing_behind() {
    let place = Place::new();
    let server = start(&place, &["--cache", "2M"]);
    let want = ask(&server, CHAT, &why())["choices"].clone();
    let before = baseline(&server);
    let over = AtomicBool::new(false);
    let served = std::thread::scope(|scope| {
        let another = scope.spawn(|| {
            let mut served = 0;
            while !over.load(Ordering::Relaxed) {
                assert_eq!(ask(&server, CHAT, &why())["choices"], want);
                served += 1;
            }
            served
        });
        let storm: Vec<_> = (0..8)
            .map(|thread| {
                let server = &server;
                scope.spawn(move || {
                    let mut rng = ChaCha8Rng::seed_from_u64(thread);
                    let mut random = |below: usize| rng.next_u32() as usize % below;
                    (0..25).for_each(|_| bother(server, &mut random));
                })
            })
            .collect();
        let storm: Vec<_> = storm.into_iter().map(|thread| thread.join()).collect();
        over.store(true, Ordering::Relaxed);
        assert!(storm.iter().all(Result::is_ok));
        another.join().unwrap()
    });
    assert!(served > 0);
    // Requests, rows and pages of the cache, and handles are what they were; pages of ended answers stay within the bound.
    until(|| metric(&server, "periapt_requests_in_progress") == 0.0);
    until(|| metric(&server, "periapt_model_cache_rows") == 0.0);
    let page = 2.0 * 2.0 * 2.0 * 16.0 * 64.0 * 4.0;
    let pages = metric(&server, "periapt_model_cache_pages");
    assert!(pages * page <= f64::from(2 << 20), "{pages}");
    until(|| handles(&server) <= before);
    assert_eq!(ask(&server, CHAT, &why())["choices"], want);
    // What takes the whole cache finds it.
    let all = chat(
        "Why?",
        json!({ "n": 8, "max_tokens": 500, "temperature": 5 }),
    );
    let answer = post(&server, CHAT, &all);
    assert_eq!(answer.status, 200, "{}", said(&answer));
}
