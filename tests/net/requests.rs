//! Requests to `periapt serve` as RFC 9110 and RFC 9112 have them: ranges, conditions, methods, hosts.

use super::*;
use std::fs;

const PATHS: [&str; 2] = ["/models/m.gguf", "/assets/a.js"];

/// RFC 9110, section 14, and https://github.com/tower-rs/tower-http/issues/725 (several) and 384 (beyond the end),
/// https://github.com/denoland/std/pull/3354 (a table of what servers answer), https://github.com/h3js/srvx/pull/275 (units, what is
/// malformed).
#[test]
fn ranges() {
    let page = Page::start(&[]);
    for path in PATHS {
        for (range, content, of) in [
            ("bytes=0-3", "0123", "bytes 0-3/10"),
            ("bytes=0-0", "0", "bytes 0-0/10"),
            ("bytes=4-", "456789", "bytes 4-9/10"),
            ("bytes=-3", "789", "bytes 7-9/10"),
            ("bytes=-99", "0123456789", "bytes 0-9/10"),
            ("bytes=8-99999999999999999999999", "89", "bytes 8-9/10"),
            ("Bytes=9-9", "9", "bytes 9-9/10"),
            ("bytes=2-3,", "23", "bytes 2-3/10"),
        ] {
            let answer = page.get(path, &[&format!("Range: {range}")]);
            assert_eq!(answer.status, 206, "{path} {range}");
            assert_eq!(answer.body, content.as_bytes(), "{path} {range}");
            assert_eq!(answer.header("content-range"), Some(of), "{path} {range}");
            let count = content.len().to_string();
            assert_eq!(answer.header("content-length"), Some(count.as_str()));
            assert!(answer.header("etag").is_some());
        }
        for range in [
            "bytes=10-",
            "bytes=99-100",
            "bytes=-0",
            "bytes=99999999999999999999-",
        ] {
            let answer = page.get(path, &[&format!("Range: {range}")]);
            assert_eq!(answer.status, 416, "{path} {range}");
            assert_eq!(
                answer.header("content-range"),
                Some("bytes */10"),
                "{path} {range}"
            );
        }
        for range in [
            "items=0-3",
            "bytes=abc",
            "bytes=5-2",
            "bytes=",
            "bytes",
            "0-3",
            "bytes=-",
            "bytes=0-0,2-3",
            "bytes=0-0,-1",
            "bytes=5-2,0-1",
            "bytes=1-2\nRange: bytes=3-4",
        ] {
            let answer = page.get(path, &[&format!("Range: {range}")]);
            assert_eq!(answer.status, 200, "{path} {range}");
            assert_eq!(answer.body, b"0123456789", "{path} {range}");
            assert_eq!(answer.header("content-range"), None, "{path} {range}");
            assert_eq!(answer.header("accept-ranges"), Some("bytes"));
        }
        // Ranges are GET's alone.
        let answer = page.send("HEAD", path, &["Range: bytes=0-3"]);
        assert_eq!((answer.status, answer.body.len()), (200, 0));
        assert_eq!(answer.header("content-length"), Some("10"));
        assert_eq!(answer.header("content-range"), None);
    }
    // Of what is sent encoded, a part of the encoding.
    let coded = page.get("/assets/a.js", &["Accept-Encoding: br", "Range: bytes=1-2"]);
    assert_eq!((coded.status, &coded.body[..]), (206, &b"ro"[..]));
    assert_eq!(coded.header("content-range"), Some("bytes 1-2/6"));
    assert_ne!(
        coded.header("etag"),
        page.get("/assets/a.js", &[]).header("etag")
    );
    // What has no parts is given whole.
    let list = page.get("/models.json", &["Range: bytes=0-3"]);
    assert_eq!((list.status, list.body[0]), (200, b'{'));
}

/// RFC 9110, sections 13.1 and 13.2.2; https://github.com/h3js/srvx/pull/275 (If-Range), https://github.com/h3js/h3/pull/1454 and
/// https://github.com/bottlepy/bottle/pull/1529 (who goes first), https://github.com/http4s/http4s/issues/2529 (tags),
/// https://github.com/static-web-server/static-web-server/pull/679 (weak ones).
#[test]
fn conditions() {
    let page = Page::start(&[]);
    let old = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
    let file = fs::File::options()
        .write(true)
        .open(page.folder.path().join("m.gguf"))
        .unwrap();
    file.set_modified(old).unwrap();
    let (date, before, after) = (
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:36 GMT",
        "Sun, 06 Nov 1994 08:49:38 GMT",
    );
    let path = "/models/m.gguf";
    let whole = page.get(path, &[]);
    assert_eq!(whole.header("last-modified"), Some(date));
    let tag = whole.header("etag").unwrap();
    assert!(tag.starts_with('"'), "a strong tag: {tag}");
    let range = "Range: bytes=4-5".to_owned();
    let header = |name: &str, value: &str| format!("{name}: {value}");
    for (value, status) in [
        (tag, 206),
        (date, 206),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 206),
        ("Sun Nov  6 08:49:37 1994", 206),
        ("\"other\"", 200),
        (&format!("W/{tag}"), 200),
        (before, 200),
        (after, 200),
        ("*", 200),
        ("nonsense", 200),
        ("", 200),
    ] {
        let answer = page.get(path, &[&range, &header("If-Range", value)]);
        assert_eq!(answer.status, status, "If-Range: {value}");
        let body: &[u8] = if status == 206 { b"45" } else { b"0123456789" };
        assert_eq!(answer.body, body, "If-Range: {value}");
    }
    // Without a range there is no If-Range.
    assert_eq!(page.get(path, &[&header("If-Range", tag)]).status, 200);

    let weak = format!("W/{tag}");
    let list = format!("\"a,b\", {tag}, \"c\"");
    let lines = format!("\"a\"\nIf-None-Match: {tag}");
    let matching = format!("\"a\"\nIf-Match: {tag}");
    for (name, value, status) in [
        ("If-None-Match", tag, 304),
        ("If-None-Match", &weak, 304),
        ("If-None-Match", &list, 304),
        ("If-None-Match", &lines, 304),
        ("If-None-Match", "*", 304),
        ("If-None-Match", "\"other\"", 200),
        ("If-Modified-Since", date, 304),
        ("If-Modified-Since", after, 304),
        ("If-Modified-Since", before, 200),
        ("If-Modified-Since", "yesterday", 200),
        ("If-Match", tag, 200),
        ("If-Match", "*", 200),
        ("If-Match", &list, 200),
        ("If-Match", &matching, 200),
        ("If-Match", &weak, 412),
        ("If-Match", "\"other\"", 412),
        ("If-Unmodified-Since", date, 200),
        ("If-Unmodified-Since", after, 200),
        ("If-Unmodified-Since", before, 412),
        ("If-Unmodified-Since", "yesterday", 200),
    ] {
        for method in ["GET", "HEAD"] {
            let answer = page.send(method, path, &[&header(name, value)]);
            assert_eq!(answer.status, status, "{method} {name}: {value}");
            if status == 304 {
                assert_eq!((answer.header("etag"), answer.body.len()), (Some(tag), 0));
                assert_eq!(answer.header("cache-control"), Some("no-cache"));
            }
        }
    }
    for (headers, status) in [
        // If-None-Match goes before If-Modified-Since, If-Match before If-Unmodified-Since, and that before both.
        (
            [
                header("If-None-Match", "\"other\""),
                header("If-Modified-Since", after),
            ],
            200,
        ),
        (
            [
                header("If-None-Match", tag),
                header("If-Modified-Since", before),
            ],
            304,
        ),
        (
            [
                header("If-Match", tag),
                header("If-Unmodified-Since", before),
            ],
            200,
        ),
        (
            [
                header("If-Match", "\"other\""),
                header("If-None-Match", tag),
            ],
            412,
        ),
        ([header("If-Match", tag), header("If-None-Match", tag)], 304),
        // All of them before a range.
        ([header("If-None-Match", tag), range.clone()], 304),
        ([header("If-Match", "\"other\""), range.clone()], 412),
        (
            [header("If-None-Match", tag), header("Range", "bytes=99-")],
            304,
        ),
        ([header("If-None-Match", "\"other\""), range.clone()], 206),
    ] {
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        assert_eq!(page.get(path, &headers).status, status, "{headers:?}");
    }
    // Another file under the name has another tag: a download does not go on with it.
    fs::write(page.folder.path().join("m.gguf"), "9876543210").unwrap();
    let answer = page.get(path, &[&range, &header("If-Range", tag)]);
    assert_eq!((answer.status, &answer.body[..]), (200, &b"9876543210"[..]));
}

/// RFC 9110, sections 9.1, 9.3.2 and 15.5.6; https://github.com/iron/staticfile/issues/54 (all methods as GET),
/// https://github.com/static-web-server/static-web-server/issues/11 (HEAD), https://github.com/h3js/h3/pull/868 (Allow).
#[test]
fn methods() {
    let page = Page::start(&[]);
    for path in [
        "/",
        "/index.html",
        "/models.json",
        PATHS[0],
        PATHS[1],
        "/nothing",
        "/models/nothing",
    ] {
        let (get, head) = (page.get(path, &[]), page.send("HEAD", path, &[]));
        assert_eq!(head.status, get.status, "{path}");
        assert!(head.body.is_empty(), "{path}");
        for name in [
            "content-length",
            "content-type",
            "etag",
            "last-modified",
            "vary",
        ] {
            assert_eq!(head.header(name), get.header(name), "{path} {name}");
        }
        for method in [
            "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "get",
        ] {
            let answer = page.send(method, path, &["Origin: https://evil.example"]);
            assert_eq!(answer.status, 405, "{method} {path}");
            let allow = answer.header("allow").unwrap().replace(' ', "");
            assert_eq!(allow, "GET,HEAD", "{method} {path}");
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
    }
    for path in [
        "/nothing",
        "/models/nothing",
        "/models",
        "/models/",
        "/assets",
        "/assets/",
        "//assets",
    ] {
        let answer = page.get(path, &[]);
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.body.ends_with(b".\n"), "{path} explains nothing");
    }
    for path in ["/models/%zz", "/models/%ff", "/%E0%A4%A"] {
        assert!(matches!(page.get(path, &[]).status, 400 | 404), "{path}");
    }
    for (path, status) in [
        ("/models/%6d%2eGGUF", 404),
        ("/models/%6d%2egguf", 200),
        ("/%61ssets/a.js", 200),
    ] {
        assert_eq!(page.get(path, &[]).status, status, "{path}");
    }
}

/// Times of change that no date in HTTP can tell (https://github.com/hyperium/headers/issues/230,
/// https://github.com/actix/actix-web/issues/2748).
#[test]
fn times_before_and_after_all_dates() {
    let page = Page::start(&[]);
    let file = fs::File::options()
        .write(true)
        .open(page.folder.path().join("m.gguf"))
        .unwrap();
    let epoch = std::time::SystemTime::UNIX_EPOCH;
    for time in [
        epoch - Duration::from_secs(86400),
        epoch + Duration::from_secs(253_402_300_800),
    ] {
        // Not every file system has such times.
        if file.set_modified(time).is_ok() && file.metadata().unwrap().modified().unwrap() == time {
            let answer = page.get(PATHS[0], &["Range: bytes=0-1"]);
            assert_eq!(answer.status, 500);
            assert!(String::from_utf8_lossy(&answer.body).contains("touch"));
        }
    }
    file.set_modified(epoch).unwrap();
    assert_eq!(page.get(PATHS[0], &[]).status, 200);
}
