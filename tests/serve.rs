//! `periapt serve` as a browser, and as somebody else's page, would meet it: the real binary over real sockets.

use crate::common::fails;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use temp_dir::TempDir;

struct Server {
    process: Child,
    port: u16,
    folder: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (own, value) = line.split_once(':')?;
            own.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

const PAGE: &str = "<!doctype html><title>page</title>";

impl Server {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let page = folder.path().join("page");
        fs::create_dir_all(page.join("assets")).unwrap();
        fs::write(page.join("index.html"), PAGE).unwrap();
        fs::write(page.join("assets/app-1.js"), "let app = 1;").unwrap();
        fs::write(page.join("assets/app-1.js.br"), "brotli's bytes").unwrap();
        fs::write(folder.path().join("secret.txt"), "secret").unwrap();
        let model = folder.path().join("my model.gguf");
        fs::write(&model, b"0123456789").unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_periapt"))
            .args(["serve", "--port", "0", "--page"])
            .arg(&page)
            .arg("--model")
            .arg(&model)
            .env("PERIAPT_MODELS", folder.path().join("store"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut url = String::new();
        let mut out = BufReader::new(process.stdout.take().unwrap());
        out.read_line(&mut url).unwrap();
        let port = url
            .trim()
            .strip_prefix("http://127.0.0.1:")
            .and_then(|rest| rest.strip_suffix('/'))
            .unwrap_or_else(|| panic!("no address: {url:?}"));
        Self {
            process,
            port: port.parse().unwrap(),
            folder,
        }
    }

    /// Sends `head`'s lines as they are; `HOST` stands for the server's own name.
    fn raw(&self, head: &str, body: &[u8]) -> Answer {
        let head = head.replace("HOST", &format!("127.0.0.1:{}", self.port));
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let request = format!(
            "{}\r\nConnection: close\r\n\r\n",
            head.replace('\n', "\r\n")
        );
        stream.write_all(request.as_bytes()).unwrap();
        // The server may refuse before it has read all.
        let _ = stream.write_all(body);
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no head: {}", String::from_utf8_lossy(&bytes)));
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head,
            body: bytes[end + 4..].to_vec(),
        }
    }

    fn get(&self, path: &str) -> Answer {
        self.raw(&format!("GET {path} HTTP/1.1\nHost: HOST"), b"")
    }
}

#[test]
fn the_page_comes_with_its_rules() {
    let server = Server::start();
    let page = server.get("/");
    assert_eq!(page.status, 200);
    assert_eq!(page.body, PAGE.as_bytes());
    assert!(
        page.header("content-type")
            .unwrap()
            .starts_with("text/html")
    );
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    assert!(!policy.contains("unsafe-inline"), "{policy}");
    for (name, value) in [
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-embedder-policy", "require-corp"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-cache"),
    ] {
        assert_eq!(page.header(name), Some(value), "{name}");
    }
    assert_eq!(page.header("access-control-allow-origin"), None);

    let asset = "GET /assets/app-1.js HTTP/1.1\nHost: HOST\nAccept-Encoding: br";
    let asset = server.raw(asset, b"");
    assert_eq!(asset.header("content-encoding"), Some("br"));
    assert_eq!(asset.body, b"brotli's bytes");
    assert!(asset.header("cache-control").unwrap().contains("immutable"));
    assert_eq!(server.get("/assets/app-2.js").status, 404);
}

#[test]
fn models_are_listed_and_come_in_ranges() {
    let server = Server::start();
    let list = server.get("/models.json");
    assert_eq!(list.header("content-type"), Some("application/json"));
    let list: Value = serde_json::from_slice(&list.body).unwrap();
    assert_eq!(
        list["models"],
        serde_json::json!([{ "name": "my model.gguf", "bytes": 10, "sha256": null }])
    );

    let whole = server.get("/models/my%20model.gguf");
    assert_eq!(whole.status, 200);
    assert_eq!(whole.body, b"0123456789");
    assert_eq!(whole.header("content-length"), Some("10"));
    assert_eq!(whole.header("accept-ranges"), Some("bytes"));
    let tag = whole.header("etag").unwrap().to_owned();

    let part = "GET /models/my%20model.gguf HTTP/1.1\nHost: HOST\nRange: bytes=4-";
    let part = server.raw(part, b"");
    assert_eq!(part.status, 206);
    assert_eq!(part.body, b"456789");
    assert_eq!(part.header("content-range"), Some("bytes 4-9/10"));
    assert_eq!(part.header("etag"), Some(tag.as_str()));
    let beyond = "GET /models/my%20model.gguf HTTP/1.1\nHost: HOST\nRange: bytes=10-";
    assert_eq!(server.raw(beyond, b"").status, 416);
    let head = "HEAD /models/my%20model.gguf HTTP/1.1\nHost: HOST";
    let head = server.raw(head, b"");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(server.get("/models/other.gguf").status, 404);

    // Another file under the same name is another one to a download that goes on.
    fs::write(server.folder.path().join("my model.gguf"), b"9876543210!").unwrap();
    let changed = server.get("/models/my%20model.gguf");
    assert_ne!(changed.header("etag"), Some(tag.as_str()));
}

#[test]
fn who_names_it_otherwise_is_refused() {
    let server = Server::start();
    for host in [
        "evil.example",
        "evil.example:8642",
        "127.0.0.1",
        "127.0.0.1:1",
        "localhost.evil.example",
    ] {
        let answer = server.raw(&format!("GET / HTTP/1.1\nHost: {host}"), b"");
        assert_eq!(answer.status, 403, "{host}");
        assert!(!String::from_utf8_lossy(&answer.body).contains("<title>"));
    }
    let local = format!("GET / HTTP/1.1\nHost: localhost:{}", server.port);
    assert_eq!(server.raw(&local, b"").status, 200);
}

#[test]
fn nothing_beside_the_page_is_served_and_nothing_is_taken() {
    let server = Server::start();
    for path in [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/assets/..%5c..%5csecret.txt",
        "/models/..%2fsecret.txt",
        "/models/%2e%2e%2f%2e%2e%2fsecret.txt",
        "//secret.txt",
        "/%00",
    ] {
        let answer = server.get(path);
        assert_ne!(answer.status, 200, "{path}");
        assert_ne!(answer.body, b"secret", "{path}");
    }
    for method in ["POST", "PUT", "DELETE"] {
        for path in ["/", "/models.json", "/models/my%20model.gguf"] {
            let answer = server.raw(&format!("{method} {path} HTTP/1.1\nHost: HOST"), b"");
            assert_eq!(answer.status, 405, "{method} {path}");
        }
    }
    let body = vec![b'x'; 1 << 20];
    let large = format!(
        "POST / HTTP/1.1\nHost: HOST\nContent-Length: {}",
        body.len()
    );
    assert_eq!(server.raw(&large, &body).status, 413);
    // A preflight from elsewhere is allowed nothing.
    let preflight = "OPTIONS /models.json HTTP/1.1\nHost: HOST\nOrigin: https://evil.example\nAccess-Control-Request-Method: GET";
    let preflight = server.raw(preflight, b"");
    assert_eq!(preflight.header("access-control-allow-origin"), None);
}

#[test]
fn what_it_cannot_serve_is_said_at_once() {
    let folder = TempDir::new().unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let empty = text(folder.path());
    fails(
        &["serve", "--port", "0", "--page", &empty],
        2,
        &["make web"],
    );

    fs::write(folder.path().join("index.html"), PAGE).unwrap();
    let page = text(folder.path());
    let missing = text(&folder.path().join("none.gguf"));
    fails(
        &["serve", "--port", "0", "--page", &page, "--model", &missing],
        2,
        &["none.gguf"],
    );

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    fails(&["serve", "--port", &port, "--page", &page], 2, &["--port"]);
}
