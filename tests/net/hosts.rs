//! Who is answered by `periapt serve`, and what there is to be had.

use super::*;
use crate::common::page::port_of;
use std::fs;
use std::io::{BufRead, BufReader};
use temp_dir::TempDir;

/// RFC 9112, sections 3.2 and 3.2.2, and DNS rebinding: https://github.com/ollama/ollama/pull/17721 (a port without a name),
/// https://github.com/clopca/open-mem/pull/10 (a name that begins like ours), https://github.com/milady-ai/milady/pull/564.
#[test]
fn hosts() {
    let page = Page::start(&[]);
    let port = page.port;
    let of = |request: String| page.raw(&request).status;
    for host in [
        format!("127.0.0.1:{port}"),
        format!("localhost:{port}"),
        format!("LocalHost:{port}"),
        format!("localhost.:{port}"),
    ] {
        assert_eq!(of(format!("GET / HTTP/1.1\nHost: {host}")), 200, "{host}");
        let absolute = format!("GET http://{host}/ HTTP/1.1\nHost: {host}");
        assert_eq!(of(absolute), 200, "{host}");
    }
    for host in [
        "evil.example".to_owned(),
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        format!("127.0.0.1:{port}.evil.example"),
        format!("127.0.0.1.evil.example:{port}"),
        format!("evil.example:{port}"),
        format!("localhost:{}", port ^ 1),
        format!("127.0.0.1:0{port}"),
        format!("127.1:{port}"),
        format!(":{port}"),
        format!("0.0.0.0:{port}"),
        format!("2130706433:{port}"),
        format!("[::1]:{port}"),
        format!("[::ffff:127.0.0.1]:{port}"),
        format!("user@127.0.0.1:{port}"),
        format!("127.0.0.1:{port}@evil.example"),
        format!("localhost..:{port}"),
        String::new(),
    ] {
        let status = of(format!("GET / HTTP/1.1\nHost: {host}"));
        assert!(matches!(status, 400 | 403), "{host}: {status}");
    }
    let own = format!("127.0.0.1:{port}");
    assert_eq!(
        of(format!("GET http://evil.example/ HTTP/1.1\nHost: {own}")),
        403
    );
    assert_eq!(
        of(format!(
            "GET http://evil.example:{port}/ HTTP/1.1\nHost: {own}"
        )),
        403
    );
    assert_eq!(of("GET / HTTP/1.1".to_owned()), 400);
    assert_eq!(of(format!("GET / HTTP/1.1\nHost: {own}\nHost: {own}")), 400);
    assert_eq!(
        of(format!("GET / HTTP/1.1\nHost: {own}\nHost: evil.example")),
        400
    );
    assert_eq!(of("GET / HTTP/1.0".to_owned()), 403);
    assert_eq!(of(format!("GET / HTTP/1.0\nHost: {own}")), 200);
}

/// What the page's folder holds and does not: https://github.com/aio-libs/aiohttp/pull/8079 and https://github.com/h3js/srvx/pull/252
/// (links), https://github.com/functionalscript/functionalscript/pull/1693 (hidden files, ways out), RFC 3986, section 6.2.2.3.
#[cfg(unix)]
#[test]
fn nothing_but_the_page() {
    use std::os::unix::fs::symlink;
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("page/loop")).unwrap();
    fs::create_dir(at("other")).unwrap();
    fs::write(at("other/x.txt"), "secret").unwrap();
    symlink(at("secret.txt"), at("page/link.txt")).unwrap();
    symlink(at("other"), at("page/folder")).unwrap();
    symlink("loop", at("page/loop/loop")).unwrap();
    symlink("nowhere", at("page/dangling")).unwrap();
    symlink("/dev/zero", at("page/zero")).unwrap();
    symlink("index.html", at("page/start.html")).unwrap();
    let fifo = Command::new("mkfifo").arg(at("page/pipe")).status();
    assert!(fifo.unwrap().success());
    let page = Page::with(folder, &[]);
    assert_eq!(page.get("/start.html", &[]).body, b"<p>page</p>");
    for path in [
        "/link.txt",
        "/folder/x.txt",
        "/loop/loop",
        "/dangling",
        "/zero",
        "/pipe",
        "/.hidden",
        "/%2ehidden",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/assets/..%2f..%2fsecret.txt",
        "/assets/%2e%2e/%2e%2e/secret.txt",
        "/..%5csecret.txt",
        "/models/..%2fsecret.txt",
        "//etc/passwd",
        "/%00",
        "/./../secret.txt",
    ] {
        let answer = page.get(path, &[]);
        assert_eq!(answer.status, 404, "{path}");
        assert!(
            !String::from_utf8_lossy(&answer.body).contains("secret"),
            "{path}"
        );
    }
}

/// The page that is built in, or none: never that of the folder it was started in.
#[test]
fn the_working_folder_is_not_looked_into() {
    let folder = TempDir::new().unwrap();
    fs::create_dir_all(folder.path().join("www/dist")).unwrap();
    fs::write(folder.path().join("www/dist/index.html"), "evil").unwrap();
    let store = folder.path().join("store");
    let mut process = command(
        &["serve", "--port", "0"],
        &[("PERIAPT_MODELS", store.to_str().unwrap())],
    )
    .current_dir(folder.path())
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .unwrap();
    let mut url = String::new();
    let mut out = BufReader::new(process.stdout.take().unwrap());
    out.read_line(&mut url).unwrap();
    match port_of(&url) {
        Some(port) => {
            let mut page = Page {
                process: Some(process),
                port,
                folder,
            };
            let start = page.get("/", &[]);
            assert_eq!(start.status, 200);
            assert!(!start.body.starts_with(b"evil"));
            page.process
                .take()
                .map(|mut process| process.kill().and_then(|()| process.wait()));
        }
        None => {
            let output = process.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(1));
            assert!(said(&output).contains("make web"), "{}", said(&output));
        }
    }
}
