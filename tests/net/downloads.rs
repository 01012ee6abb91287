//! Servers that answer in ways of their own: the right bytes in the end, or words for why not.

use super::*;
use crate::common::http::ranged;
use periapt::store::Progress;
use std::fs;
use temp_dir::TempDir;

/// A gzip file of one stored block a piece (RFC 1952, RFC 1951): encoded, and no smaller.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut pieces = bytes.chunks(60_000).peekable();
    while let Some(piece) = pieces.next() {
        let count = piece.len() as u16;
        file.push(u8::from(pieces.peek().is_none()));
        file.extend(count.to_le_bytes());
        file.extend((!count).to_le_bytes());
        file.extend(piece);
    }
    let crc = !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    });
    file.extend(crc.to_le_bytes());
    file.extend((bytes.len() as u32).to_le_bytes());
    file
}

type Answer = Box<dyn Fn(&[u8], usize, &Request) -> Reply + Send>;

/// https://github.com/huggingface/huggingface_hub/issues/2197 (416), pull/3778 (ranges ignored), pull/4143 (other ranges),
/// https://github.com/thewh1teagle/vibe/issues/1163 (429), https://github.com/guma44/GEOparse/issues/80 (encoded bodies),
/// https://github.com/padeoe/hf-mirror-site/issues/31 (no length), https://github.com/owncloud/client/issues/756 (another file
/// between two parts), RFC 9110, sections 10.2.3 and 14.
#[test]
fn the_right_bytes_come_in_the_end() {
    let file = bytes(300_000);
    let cut = |bytes: &[u8], request: &Request, headers: &str| {
        let mut reply = ranged(bytes, request, headers);
        reply.body.truncate(100_000);
        reply
    };
    let plain = |bytes: &[u8], request: &Request| ranged(bytes, request, "");
    let cases: Vec<(&str, Answer)> = vec![
        (
            "ranges are ignored after a cut",
            Box::new(move |bytes, number, request| match number {
                0 => cut(bytes, request, ""),
                _ => plain(bytes, &Request::default()),
            }),
        ),
        (
            "416 after a cut",
            Box::new(
                move |bytes, number, request| match (number, request.range) {
                    (0, _) => cut(bytes, request, ""),
                    (_, Some(_)) => {
                        status("416 Range Not Satisfiable\r\nContent-Range: bytes */300000")
                    }
                    _ => plain(bytes, request),
                },
            ),
        ),
        (
            "another range than asked for",
            Box::new(move |bytes, number, request| {
                match (number, request.range) {
            (0, _) => cut(bytes, request, ""),
            (_, Some(_)) => Reply {
                head: "206 Partial Content\r\nContent-Range: bytes 0-9/300000\r\nContent-Length: 10\r\n".to_owned(),
                body: bytes[..10].to_vec(),
                hold: false,
            },
            _ => plain(bytes, request),
        }
            }),
        ),
        (
            "another file, told by its tag alone",
            Box::new(move |bytes, number, request| match number {
                0 => cut(&vec![7; bytes.len()], request, "ETag: \"old\"\r\n"),
                _ => ranged(bytes, request, "ETag: \"new\"\r\n"),
            }),
        ),
        (
            "another file, not told at all",
            Box::new(move |bytes, number, request| match number {
                0 => cut(&vec![7; bytes.len()], request, ""),
                _ => plain(bytes, request),
            }),
        ),
        (
            "429 with seconds",
            Box::new(move |bytes, number, request| match number {
                0..3 => status("429 Too Many Requests\r\nRetry-After: 0"),
                _ => plain(bytes, request),
            }),
        ),
        (
            "429 with a date that has passed",
            Box::new(move |bytes, number, request| match number {
                0..3 => {
                    status("429 Too Many Requests\r\nRetry-After: Wed, 21 Oct 2015 07:28:00 GMT")
                }
                _ => plain(bytes, request),
            }),
        ),
        (
            "503 with nonsense",
            Box::new(move |bytes, number, request| match number {
                0..3 => status("503 Service Unavailable\r\nRetry-After: soon"),
                _ => plain(bytes, request),
            }),
        ),
        (
            "hangs up without an answer",
            Box::new(move |bytes, number, request| match number {
                0 => Reply {
                    head: "\0".to_owned(),
                    ..Reply::default()
                },
                _ => plain(bytes, request),
            }),
        ),
        (
            "encoded though nobody asked",
            Box::new(move |bytes, _, _| {
                let body = gzip(bytes);
                Reply {
                    head: format!(
                        "200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n",
                        body.len()
                    ),
                    body,
                    hold: false,
                }
            }),
        ),
        (
            "no length",
            Box::new(move |bytes, _, _| Reply {
                head: "200 OK\r\n".to_owned(),
                body: bytes.to_vec(),
                hold: false,
            }),
        ),
        (
            "chunked",
            Box::new(move |bytes, _, _| Reply {
                head: "200 OK\r\nTransfer-Encoding: chunked\r\n".to_owned(),
                body: [
                    format!("{:x}\r\n", bytes.len()).as_bytes(),
                    bytes,
                    b"\r\n0\r\n\r\n",
                ]
                .concat(),
                hold: false,
            }),
        ),
        (
            "redirects within the hub",
            Box::new(move |bytes, _, request| match request.path.as_str() {
                "/cdn/m.gguf?k=v%20w" => plain(bytes, request),
                "/cdn/x" => status("302 Found\r\nLocation: m.gguf?k=v w"),
                _ => status("307 Temporary Redirect\r\nLocation: /cdn/x"),
            }),
        ),
    ];
    for (what, answer) in cases {
        let served = file.clone();
        let server = hub_of(&file, move |number, request| {
            answer(&served, number, request)
        });
        let dir = TempDir::new().unwrap();
        let path = pull(&store(&server.url, dir.path()), "o/m");
        let path = path.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(fs::read(path).unwrap() == file, "{what}");
    }
}

/// https://github.com/huggingface/transformers/issues/8497 and https://github.com/huggingface/diffusers/pull/13559 (LFS
/// pointers), https://github.com/containers/podman-desktop-extension-ai-lab/issues/977 (what came while the hub was down), RFC 9110,
/// sections 8.4 and 15.4.
#[test]
fn what_is_not_the_file_is_named() {
    let file = bytes(3000);
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3000\n";
    let page = b"\n<!DOCTYPE HTML><title>Log in</title>";
    let page_of_its_size = [&page[..], &vec![b' '; 3000 - page.len()]].concat();
    let unframed = |body: &[u8]| Reply {
        head: "200 OK\r\n".to_owned(),
        body: body.to_vec(),
        hold: false,
    };
    let cases: Vec<(Reply, &str)> = vec![
        (ok(*pointer), "Git LFS pointer"),
        (unframed(pointer), "Git LFS pointer"),
        (ok(*page), "web page"),
        (unframed(page), "web page"),
        (ok(page_of_its_size), "web page"),
        (
            status("200 OK\r\nContent-Type: TEXT/HTML;charset=utf-8"),
            "web page",
        ),
        (status("200 OK\r\nContent-Encoding: br"), "encoded as `br`"),
        (ok(vec![0; 2999]), "2999 bytes"),
        (ok(vec![0; 3001]), "3001 bytes"),
        (unframed(&vec![0; 3001]), "more than"),
        (
            status("302 Found\r\nLocation: /loop"),
            "redirects more than",
        ),
        (status("302 Found\r\nLocation: http://["), "no address"),
        (
            status("302 Found\r\nLocation: ftp://cdn.invalid/x"),
            "redirects to ftp",
        ),
        (status("302 Found"), "302"),
        (status("304 Not Modified"), "304"),
        (status("451 Unavailable For Legal Reasons"), "451"),
        (
            status("429 Too Many Requests\r\nRetry-After: 86400"),
            "86400 s",
        ),
    ];
    for (reply, says) in cases {
        let server = hub_of(&file, move |_, _| Reply {
            head: reply.head.clone(),
            body: reply.body.clone(),
            hold: false,
        });
        let dir = TempDir::new().unwrap();
        let error = pull(&store(&server.url, dir.path()), "o/m")
            .unwrap_err()
            .to_string();
        assert!(error.contains(says), "{says}: {error}");
        assert!(!dir.path().join("o--m@main/m.gguf").exists(), "{says}");
    }
}

/// The listing itself: https://github.com/thewh1teagle/vibe/issues/1163 (429), and mirrors that know half of the API
/// (https://github.com/padeoe/hf-mirror-site/issues/31).
#[test]
fn a_listing_comes_or_is_explained() {
    let file = bytes(3000);
    let about = json!({ "sha": COMMIT, "siblings": [large("m.gguf", &file)] }).to_string();
    let with_mark = ["\u{feff}", &about].concat();
    let shouted = about.replace(
        &hex(Sha256::digest(&file)),
        &hex(Sha256::digest(&file)).to_uppercase(),
    );
    let unsized_ = json!({ "sha": COMMIT, "siblings": [{ "rfilename": "m.gguf" }, { "rfilename": "README.md", "size": 3 }] }).to_string();
    let climbing = json!({ "sha": "../..", "siblings": [large("m.gguf", &file)] }).to_string();
    let cases: Vec<(Vec<Reply>, Result<(), &str>)> = vec![
        (vec![ok(with_mark)], Ok(())),
        (vec![ok(shouted)], Ok(())),
        (
            vec![
                status("500 Oops"),
                status("429 Slow\r\nRetry-After: 0"),
                ok(about.clone()),
            ],
            Ok(()),
        ),
        (
            vec![
                Reply {
                    body: about[..50].into(),
                    ..ok(about.clone())
                },
                ok(about.clone()),
            ],
            Ok(()),
        ),
        (
            vec![status("307 Found\r\nLocation: /api/elsewhere"), ok(about)],
            Ok(()),
        ),
        (vec![ok("<html>captive portal</html>")], Err("web page")),
        (vec![ok("[]")], Err("can't be read")),
        (vec![ok("")], Err("can't be read")),
        (vec![ok(unsized_)], Err("no sizes")),
        (vec![ok(climbing)], Err("its commit")),
        (
            vec![status("200 OK\r\nContent-Type: text/html")],
            Err("web page"),
        ),
        (vec![status("404 Not Found")], Err("has no `o/m@main`")),
        (vec![status("401 Unauthorized")], Err("HF_TOKEN")),
        (vec![status("503 Busy\r\nRetry-After: 4000")], Err("4000 s")),
    ];
    for (replies, wanted) in cases {
        let served = file.clone();
        let server = Server::start(move |number, request| {
            if !request.path.starts_with("/api/") {
                return ranged(&served, request, "");
            }
            let reply = &replies[number.min(replies.len() - 1)];
            Reply {
                head: reply.head.clone(),
                body: reply.body.clone(),
                hold: false,
            }
        });
        let dir = TempDir::new().unwrap();
        let pulled = pull(&store(&server.url, dir.path()), "o/m");
        match wanted {
            Ok(()) => assert!(fs::read(pulled.unwrap()).unwrap() == file),
            Err(says) => {
                let error = pulled.unwrap_err().to_string();
                assert!(error.contains(says), "{says}: {error}");
            }
        }
    }
}

/// A server that asks for patience is said to.
#[test]
fn waiting_is_told() {
    let file = bytes(3000);
    let served = file.clone();
    let server = hub_of(&file, move |number, request| match number {
        0 => status("429 Too Many Requests\r\nRetry-After: 1"),
        _ => ranged(&served, request, ""),
    });
    let dir = TempDir::new().unwrap();
    let mut notices = String::new();
    let pulled = store(&server.url, dir.path()).pull_hub(&id("o/m"), &mut |progress| {
        if let Progress::Notice(line) = progress {
            notices += line;
        }
    });
    pulled.unwrap();
    assert!(
        notices.contains("429") && notices.contains("in 1 s, as it asks"),
        "{notices}"
    );
}
