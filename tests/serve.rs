//! `periapt serve` as a browser, and as somebody else's page, would meet it: the real binary over real sockets.

use crate::common::fails;
use crate::common::page::Page;
use serde_json::Value;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use temp_dir::TempDir;

fn start() -> Page {
    Page::offering("my model.gguf", TempDir::new().unwrap(), &[])
}

#[test]
fn the_page_comes_with_its_rules() {
    let server = start();
    let page = server.get("/", &[]);
    assert_eq!(page.status, 200);
    assert_eq!(page.body, b"<p>page</p>");
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

    let asset = "GET /assets/a.js HTTP/1.1\nHost: HOST\nAccept-Encoding: br";
    let asset = server.raw(asset);
    assert_eq!(asset.header("content-encoding"), Some("br"));
    assert_eq!(asset.body, b"brotli");
    assert!(asset.header("cache-control").unwrap().contains("immutable"));
    assert_eq!(server.get("/assets/b.js", &[]).status, 404);
}

/// The page offers the known models first, by what the catalogue calls them.
#[test]
fn a_known_model_is_told_by_its_name() {
    let folder = TempDir::new().unwrap();
    let small = periapt::store::catalogue().small_model();
    std::fs::create_dir(folder.path().join("store")).unwrap();
    let file = std::fs::File::create(folder.path().join("store").join(small.file)).unwrap();
    file.set_len(small.bytes).unwrap();
    let server = Page::with(folder, &[]);
    let list: Value = serde_json::from_slice(&server.get("/models.json", &[]).body).unwrap();
    let known = serde_json::json!({
        "name": small.file, "bytes": small.bytes, "sha256": small.sha256, "model": small.name,
    });
    let models = list["models"].as_array().unwrap();
    assert_eq!(models.len(), 2);
    assert!(models.contains(&known), "{list}");
}

#[test]
fn models_are_listed_and_come_in_ranges() {
    let server = start();
    let list = server.get("/models.json", &[]);
    assert_eq!(list.header("content-type"), Some("application/json"));
    let list: Value = serde_json::from_slice(&list.body).unwrap();
    assert_eq!(
        list["models"],
        serde_json::json!([{ "name": "my model.gguf", "bytes": 10, "sha256": null }])
    );

    let whole = server.get("/models/my%20model.gguf", &[]);
    assert_eq!(whole.status, 200);
    assert_eq!(whole.body, b"0123456789");
    assert_eq!(whole.header("content-length"), Some("10"));
    assert_eq!(whole.header("accept-ranges"), Some("bytes"));
    let tag = whole.header("etag").unwrap().to_owned();

    let part = "GET /models/my%20model.gguf HTTP/1.1\nHost: HOST\nRange: bytes=4-";
    let part = server.raw(part);
    assert_eq!(part.status, 206);
    assert_eq!(part.body, b"456789");
    assert_eq!(part.header("content-range"), Some("bytes 4-9/10"));
    assert_eq!(part.header("etag"), Some(tag.as_str()));
    let beyond = "GET /models/my%20model.gguf HTTP/1.1\nHost: HOST\nRange: bytes=10-";
    assert_eq!(server.raw(beyond).status, 416);
    let head = "HEAD /models/my%20model.gguf HTTP/1.1\nHost: HOST";
    let head = server.raw(head);
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(server.get("/models/other.gguf", &[]).status, 404);

    // Another file under the same name is another one to a download that goes on.
    fs::write(server.folder.path().join("my model.gguf"), b"9876543210!").unwrap();
    let changed = server.get("/models/my%20model.gguf", &[]);
    assert_ne!(changed.header("etag"), Some(tag.as_str()));
}

#[test]
fn who_names_it_otherwise_is_refused() {
    let server = start();
    for host in [
        "evil.example",
        "evil.example:8642",
        "127.0.0.1",
        "127.0.0.1:1",
        "localhost.evil.example",
    ] {
        let answer = server.raw(&format!("GET / HTTP/1.1\nHost: {host}"));
        assert_eq!(answer.status, 403, "{host}");
        assert!(!String::from_utf8_lossy(&answer.body).contains("<p>"));
    }
    let local = format!("GET / HTTP/1.1\nHost: localhost:{}", server.port);
    assert_eq!(server.raw(&local).status, 200);
}

#[test]
fn nothing_beside_the_page_is_served_and_nothing_is_taken() {
    let server = start();
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
        let answer = server.get(path, &[]);
        assert_ne!(answer.status, 200, "{path}");
        assert_ne!(answer.body, b"secret", "{path}");
    }
    for method in ["POST", "PUT", "DELETE"] {
        for path in ["/", "/models.json", "/models/my%20model.gguf"] {
            let answer = server.raw(&format!("{method} {path} HTTP/1.1\nHost: HOST"));
            assert_eq!(answer.status, 405, "{method} {path}");
        }
    }
    let body = vec![b'x'; 1 << 20];
    let large = format!(
        "POST / HTTP/1.1\nHost: HOST\nContent-Length: {}",
        body.len()
    );
    assert_eq!(server.post(&large, &body).status, 413);
    // A preflight from elsewhere is allowed nothing.
    let preflight = "OPTIONS /models.json HTTP/1.1\nHost: HOST\nOrigin: https://evil.example\nAccess-Control-Request-Method: GET";
    let preflight = server.raw(preflight);
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

    fs::write(folder.path().join("index.html"), "<p>page</p>").unwrap();
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
