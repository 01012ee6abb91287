//! How `periapt serve` ends, and whom it waits for; how a pull ends.

use super::*;
use periapt::store::catalogue;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use temp_dir::TempDir;

/// Larger than what sockets buffer.
const LARGE: u64 = 256 << 20;

fn signal(name: &str, process: u32) -> bool {
    let status = Command::new("kill")
        .args([name, &process.to_string()])
        .stderr(Stdio::null())
        .status();
    status.unwrap().success()
}

fn with_large(args: &[&str]) -> Page {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("store")).unwrap();
    let file = fs::File::create(folder.path().join("store/large.gguf")).unwrap();
    file.set_len(LARGE).unwrap();
    Page::with(folder, args)
}

/// A connection that has sent this and reads nothing.
fn sent(page: &Page, text: &str) -> TcpStream {
    let mut stream = page.connect();
    let text = text.replace("HOST", &format!("127.0.0.1:{}", page.port));
    stream.write_all(text.as_bytes()).unwrap();
    stream
}

/// Reads until the answer's head is there: its request is under way.
fn begun(mut stream: TcpStream) -> TcpStream {
    stream.read_exact(&mut [0; 12]).unwrap();
    stream
}

const DOWNLOAD: &str = "GET /models/large.gguf HTTP/1.1\r\nHost: HOST\r\n\r\n";
const KEPT: &str = "GET /models.json HTTP/1.1\r\nHost: HOST\r\n\r\n";

/// https://github.com/tokio-rs/axum/issues/2611, https://github.com/hyperium/hyper/issues/1885 and 3576 (silent connections),
/// https://github.com/utensils/mold/issues/1582 (who stops reading), https://github.com/tokio-rs/axum/issues/1070 (no deadline).
#[test]
fn it_ends_whatever_connections_do() {
    type Open = fn(&Page) -> TcpStream;
    let cases: [(&str, Open); 7] = [
        ("silent", |page| page.connect()),
        ("half a head", |page| {
            sent(page, "GET / HTTP/1.1\r\nHost: 127")
        }),
        ("kept alive", |page| begun(sent(page, KEPT))),
        ("half a body", |page| {
            sent(
                page,
                "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 9\r\n\r\nab",
            )
        }),
        ("a download that rests", |page| begun(sent(page, DOWNLOAD))),
        ("two requests at once", |page| {
            begun(sent(page, &[DOWNLOAD, KEPT].concat()))
        }),
        ("TLS", |page| sent(page, "\u{16}\u{3}\u{1}")),
    ];
    for (what, open) in cases {
        for signals in [
            &["-INT"][..],
            &["-TERM"],
            &["-INT", "-INT"],
            &["-TERM", "-INT", "-INT"],
        ] {
            let mut page = with_large(&[]);
            let stream = open(&page);
            // The server has seen it: it answers a later one.
            assert_eq!(page.get("/", &[]).status, 200);
            let process = page.process.take().unwrap();
            for name in signals {
                // After the first one it may be gone.
                signal(name, process.id());
            }
            let status = ends(process);
            assert_eq!(status.code(), Some(0), "{what} {signals:?}: {status}");
            drop(stream);
        }
    }
}

/// An answer that is on its way when the signal comes is still given, and no new connection is taken.
#[test]
fn an_answer_on_its_way_is_given() {
    let mut page = Page::start(&[]);
    let mut stream = sent(&page, "GET /models/m.gguf HTTP/1.1\r\nHost: HOST\r\n\r\n");
    stream = begun(stream);
    let process = page.process.take().unwrap();
    assert!(signal("-INT", process.id()));
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(rest.ends_with("0123456789"), "{rest}");
    ends(process);
    assert!(TcpStream::connect(("127.0.0.1", page.port)).is_err());
}

/// https://github.com/hyperium/hyper/issues/2457 and 3970 (heads that never end),
/// https://github.com/sparq-org/sparq/pull/507 (a library without a deadline for them).
#[test]
fn silent_connections_keep_nobody_out() {
    let page = Page::start(&["--max-connections", "4"]);
    let mut silent = Vec::new();
    for number in 0..300 {
        let text = ["", "GET / HTTP/1.1\r\nHost:", "G", "\r\n"][number % 4];
        // It may have been closed for a later one.
        silent.push(sent(&page, text));
    }
    for _ in 0..8 {
        assert_eq!(page.get("/models/m.gguf", &[]).body, b"0123456789");
    }
}

#[test]
fn a_full_server_says_so_and_goes_on() {
    let page = with_large(&["--max-connections", "2"]);
    let busy = [begun(sent(&page, DOWNLOAD)), begun(sent(&page, DOWNLOAD))];
    let mut third = page.connect();
    let mut text = String::new();
    third.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 503 "), "{text}");
    let length = text
        .split("Content-Length: ")
        .nth(1)
        .unwrap()
        .split("\r\n")
        .next()
        .unwrap();
    assert_eq!(
        text.split("\r\n\r\n").nth(1).unwrap().len().to_string(),
        length
    );
    drop(busy);
    // The server hears of it when it writes the next time.
    let freed = (0..1200).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        let mut stream = sent(
            &page,
            "GET / HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n",
        );
        let mut text = String::new();
        // Refused, it may be reset before it is read.
        let _ = stream.read_to_string(&mut text);
        text.starts_with("HTTP/1.1 200 ")
    });
    assert!(freed);
}

/// Who sends no head, or reads no answer, is let go; meanwhile others are served.
#[test]
fn who_waits_too_long_is_let_go() {
    let page = with_large(&["--head-timeout", "1", "--stall-timeout", "1"]);
    let resting = begun(sent(&page, DOWNLOAD));
    for text in ["", "GET / HTTP/1.1\r\nHost: 127", KEPT] {
        let mut stream = sent(&page, text);
        let mut answer = Vec::new();
        // It ends: by a reset or in order.
        let _ = stream.read_to_end(&mut answer);
        assert_eq!(page.get("/", &[]).status, 200);
    }
    // The download was given up, unless nobody looked: what is left is what was buffered.
    std::thread::sleep(Duration::from_secs(3));
    let mut rest = resting;
    let mut count = 0;
    let mut buffer = vec![0; 1 << 20];
    while let Ok(bytes @ 1..) = rest.read(&mut buffer) {
        count += bytes as u64;
    }
    assert!(count < LARGE, "{count}");
}

#[test]
fn limits_of_nothing_are_refused() {
    for flag in ["--max-connections", "--head-timeout", "--stall-timeout"] {
        for value in ["0", "-1", "x", ""] {
            crate::common::fails(&["serve", &format!("{flag}={value}")], 2, &[flag]);
        }
    }
}

/// A pull that pip serves: a folder with the program `python3` that notes its number and stays. The running pull, and the
/// program's number.
fn pip(tools: &TempDir, store: &Path) -> (Child, u32) {
    let script = tools.path().join("python3");
    let note = tools.path().join("number");
    let text = format!(
        "#!/bin/sh\necho $$ > {0}.new\nmv {0}.new {0}\nexec sleep 1000\n",
        note.display()
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!(
        "{}:{}",
        tools.path().display(),
        std::env::var("PATH").unwrap()
    );
    let hub = format!("http://127.0.0.1:{}", closed_port());
    let vars = [
        ("PATH", path.as_str()),
        ("HF_ENDPOINT", &hub),
        ("PERIAPT_MODELS", store.to_str().unwrap()),
    ];
    let mut process = command(&["models", "pull"], &vars)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    for _ in 0..1200 {
        if let Ok(number) = fs::read_to_string(&note) {
            return (process, number.trim().parse().unwrap());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let _ = process.kill();
    let _ = process.wait();
    panic!("pip was not started");
}

/// https://github.com/bottlepy/bottle/issues/78, https://github.com/imbue-ai/mngr/issues/1280: who is ended leaves programs running.
#[test]
fn pip_ends_with_us() {
    let (tools, store) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (process, pip) = pip(&tools, store.path());
    assert!(signal("-TERM", process.id()));
    assert_eq!(ends(process).code(), Some(143));
    assert!(!signal("-0", pip));
}

/// Where we are ended without a word, pip holds the lock, so that nobody else writes beside it.
#[test]
fn the_lock_lasts_as_long_as_pip() {
    let (tools, root) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (mut process, pip) = pip(&tools, root.path());
    process.kill().unwrap();
    process.wait().unwrap();
    let store = Store::at(root.path(), Remote::default(), &catalogue().models).unwrap();
    let name = catalogue().default_model().name;
    assert!(matches!(store.remove(name), Err(StoreError::Busy(_))));
    assert!(signal("-KILL", pip));
    let freed = (0..1200).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        store.remove(name).is_ok()
    });
    assert!(freed);
}
