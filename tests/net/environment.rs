//! Variables that cannot be used: the message names the one at fault, and no secret. And proxies.

use super::*;
use std::io::{BufRead, BufReader, Read, Write};
use std::thread;
use temp_dir::TempDir;

/// Pulls from the hub with these variables; the exit code and all that was said.
fn pulled(vars: &[(&str, &str)]) -> (Option<i32>, String) {
    let dir = TempDir::new().unwrap();
    let store = dir.path().to_str().unwrap().to_owned();
    let all = [&[("PERIAPT_MODELS", store.as_str())], vars].concat();
    let output = command(&["models", "pull", "o/m"], &all).output().unwrap();
    (output.status.code(), said(&output))
}

/// https://github.com/huggingface/huggingface_hub/issues/2152 (the endpoint); https://github.com/zalando-nakadi/fahrschein/issues/398
/// (a line break in the token), https://github.com/hetznercloud/cli/issues/102 (a stray letter, and the token printed);
/// https://github.com/qutebrowser/qutebrowser/issues/282 (a proxy that cannot be used, without a word).
#[test]
fn the_variable_at_fault_is_named() {
    let hub = ("HF_ENDPOINT", "http://hub.invalid");
    for (vars, names) in [
        (vec![("HF_ENDPOINT", "hf-mirror.invalid")], "HF_ENDPOINT"),
        (vec![("HF_ENDPOINT", "localhost:8080")], "HF_ENDPOINT"),
        (vec![("HF_ENDPOINT", "//hub.invalid")], "HF_ENDPOINT"),
        (vec![("HF_ENDPOINT", "ftp://hub.invalid")], "HF_ENDPOINT"),
        (vec![("HF_ENDPOINT", "https:hub.invalid:x")], "HF_ENDPOINT"),
        (vec![("HF_ENDPOINT", "http://")], "HF_ENDPOINT"),
        (vec![("HF_ENDPOINT", "http://[::1")], "HF_ENDPOINT"),
        (
            vec![("HF_ENDPOINT", "http://hub.invalid:99999")],
            "HF_ENDPOINT",
        ),
        (
            vec![("HF_ENDPOINT", "http://hub.invalid/?geheim")],
            "HF_ENDPOINT",
        ),
        (
            vec![("HF_ENDPOINT", "https://me:geheim@hub .invalid")],
            "HF_ENDPOINT",
        ),
        (
            vec![("HF_ENDPOINT", "me:geheim@hub.invalid")],
            "HF_ENDPOINT",
        ),
        (vec![hub], "HF_ENDPOINT"),
        (vec![hub, ("HF_TOKEN", "hf_geheim\nhf_geheim")], "HF_TOKEN"),
        (vec![hub, ("HF_TOKEN", "hf_geheimß")], "HF_TOKEN"),
        (vec![hub, ("HF_TOKEN", "Bearer hf_geheim")], "HF_TOKEN"),
        (
            vec![hub, ("HTTP_PROXY", "foo://me:geheim@p:1")],
            "HTTP_PROXY",
        ),
        (vec![hub, ("http_proxy", "http://p:port")], "http_proxy"),
        (vec![hub, ("HTTPS_PROXY", "socks9://p:1")], "HTTPS_PROXY"),
        (vec![hub, ("all_proxy", "http://")], "all_proxy"),
        (vec![hub, ("ALL_PROXY", "a proxy")], "ALL_PROXY"),
        (vec![("HF_HUB_OFFLINE", "1")], "HF_HUB_OFFLINE"),
        (vec![("HF_HUB_OFFLINE", "TRUE")], "HF_HUB_OFFLINE"),
        (
            vec![("TRANSFORMERS_OFFLINE", "yes")],
            "TRANSFORMERS_OFFLINE",
        ),
    ] {
        let (code, text) = pulled(&vars);
        assert_eq!(code, Some(3), "{vars:?}: {text}");
        assert!(text.contains(names), "{vars:?}: {text}");
        assert!(!text.contains("geheim"), "{vars:?}: {text}");
    }
}

/// The default model, too: its second source is no way around what was set.
#[test]
fn no_other_source_is_taken_in_place_of_a_wrong_variable() {
    let dir = TempDir::new().unwrap();
    let store = dir.path().to_str().unwrap();
    for (name, value) in [
        ("HF_ENDPOINT", "hf-mirror.invalid"),
        ("ALL_PROXY", "foo://p"),
        ("HF_HUB_OFFLINE", "on"),
    ] {
        let vars = [("PERIAPT_MODELS", store), (name, value)];
        let output = command(&["models", "pull"], &vars).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{}", said(&output));
        assert!(said(&output).contains(name), "{}", said(&output));
        assert!(!said(&output).contains("pip"), "{}", said(&output));
    }
}

/// A variable that is empty counts as unset; what is not asked for need not be right.
#[test]
fn what_is_empty_or_unused_is_no_fault() {
    let dir = TempDir::new().unwrap();
    let store = dir.path().to_str().unwrap();
    let file = bytes(3000);
    let served = file.clone();
    let server = hub_of(&file, move |_, request| http::ranged(&served, request, ""));
    let vars = [
        ("PERIAPT_MODELS", store),
        ("HF_ENDPOINT", server.url.as_str()),
        ("HF_TOKEN", " "),
        ("HF_HUB_OFFLINE", "0"),
        ("TRANSFORMERS_OFFLINE", ""),
        ("ALL_PROXY", ""),
        // Nobody asks a proxy for what is on this machine.
        ("HTTP_PROXY", "http://proxy.invalid:1"),
    ];
    let output = command(&["models", "pull", "o/m"], &vars).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    for (name, value) in [
        ("HF_ENDPOINT", "nonsense"),
        ("HF_TOKEN", "a\nb"),
        ("ALL_PROXY", "foo://p"),
        ("HF_HUB_OFFLINE", "1"),
    ] {
        let vars = [("PERIAPT_MODELS", store), (name, value)];
        for args in [
            &["models", "list"][..],
            &["models", "path", "o/m"],
            &["models", "pull", "o/m"],
        ] {
            let output = command(args, &vars).output().unwrap();
            assert!(output.status.success(), "{name}: {}", said(&output));
        }
    }
}

#[test]
fn a_store_that_is_none_names_its_variable() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let file = file.to_str().unwrap();
    let below = format!("{file}/models");
    let hub = ("HF_ENDPOINT", "http://127.0.0.1:9");
    for (store, args) in [
        (file, &["models", "list"][..]),
        (file, &["models", "pull", "o/m"]),
        (&below, &["models", "pull", "o/m"]),
        (&below, &["models", "pull"]),
    ] {
        let output = command(args, &[("PERIAPT_MODELS", store), hub])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(3), "{args:?}: {}", said(&output));
        assert!(
            said(&output).contains("PERIAPT_MODELS"),
            "{args:?}: {}",
            said(&output)
        );
    }
}

/// A proxy that is there: it speaks CONNECT or SOCKS 5, notes for whom, and answers as the hub itself. Its address.
fn proxy(file: Vec<u8>) -> (u16, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = std::sync::mpsc::channel();
    let files = listing(&[large("m.gguf", &file)]);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let first = reader.fill_buf().unwrap().first().copied();
            let target = match first {
                Some(5) => socks(&mut reader, &mut stream),
                _ => {
                    let line = head(&mut reader);
                    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
                    line
                }
            };
            // The test may be over.
            let _ = tell.send(target);
            let request = head(&mut reader);
            let reply = match request.contains("/api/") {
                true => &files,
                false => &ok(file.clone()),
            };
            let answer = format!("HTTP/1.1 {}Connection: close\r\n\r\n", reply.head);
            stream.write_all(answer.as_bytes()).unwrap();
            stream.write_all(&reply.body).unwrap();
        }
    });
    (port, told)
}

/// The first line of a head that is read whole.
fn head(reader: &mut impl BufRead) -> String {
    let mut lines = reader
        .lines()
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    lines.for_each(drop);
    first
}

/// RFC 1928, without authentication.
fn socks(reader: &mut impl Read, stream: &mut impl Write) -> String {
    let mut take = |count: usize| {
        let mut bytes = vec![0; count];
        reader.read_exact(&mut bytes).unwrap();
        bytes
    };
    let methods = take(2)[1];
    take(methods.into());
    stream.write_all(&[5, 0]).unwrap();
    let target = match take(4)[3] {
        3 => {
            let count = take(1)[0];
            String::from_utf8(take(count.into())).unwrap()
        }
        _ => format!("{:?}", take(4)),
    };
    take(2);
    stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).unwrap();
    target
}

#[test]
fn what_a_proxy_brings_is_taken_and_what_it_does_not_is_not() {
    let file = bytes(3000);
    for (variable, scheme) in [
        ("http_proxy", "http://"),
        ("HTTP_PROXY", ""),
        ("ALL_PROXY", "socks5h://"),
        ("all_proxy", "http://me:geheim@"),
    ] {
        let (port, told) = proxy(file.clone());
        let address = format!("{scheme}127.0.0.1:{port}");
        let hub = ("HF_ENDPOINT", "http://hub.invalid");
        let (code, text) = pulled(&[hub, (variable, &address)]);
        assert_eq!(code, Some(0), "{variable}: {text}");
        assert!(told.recv().unwrap().contains("hub.invalid"));

        // Left out by the list, nobody asks the proxy, and there is no other way to that hub.
        while told.try_recv().is_ok() {}
        for list in ["*", "hub.invalid", ".INVALID:80", "x, hub.invalid"] {
            let (code, text) = pulled(&[hub, (variable, &address), ("NO_PROXY", list)]);
            assert_eq!(code, Some(3), "{text}");
            assert!(told.try_recv().is_err(), "{list}");
            assert!(!text.contains("geheim"), "{text}");
        }
    }
}

/// https://github.com/janhq/jan/issues/2080 (a proxy that is not there),
/// https://github.com/bodaay/HuggingFaceModelDownloader/issues/16 (one that was passed by).
#[test]
fn a_proxy_that_is_not_there_is_named_and_not_passed_by() {
    let port = closed_port();
    let server = hub_of(b"", |_, _| status("404 Not Found"));
    // A name of this machine that is not its loopback address, where there is one: there the hub could be reached.
    let around = server.url.replace("127.0.0.1", "127.0.0.2");
    for hub in ["http://hub.invalid", "https://hub.invalid", &around] {
        for (variable, scheme) in [
            ("ALL_PROXY", "http://me:geheim@"),
            ("all_proxy", "socks5://"),
            ("HTTPS_PROXY", "socks5h://me:geheim@"),
            ("http_proxy", "https://"),
            ("HTTP_PROXY", ""),
        ] {
            let address = format!("{scheme}127.0.0.1:{port}");
            let (code, text) = pulled(&[("HF_ENDPOINT", hub), (variable, &address)]);
            assert_eq!(code, Some(3), "{hub} {address}: {text}");
            // SOCKS 5 without `h` looks the name up first: that fails before the proxy is asked.
            assert!(text.contains(variable), "{hub} {address}: {text}");
            assert!(!text.contains("geheim"), "{text}");
        }
    }
    assert!(server.requests().is_empty());
}
