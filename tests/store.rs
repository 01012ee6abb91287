//! The model store against a real HTTP server (below) and a stand-in for pip: what is pulled, resumed, refused, kept.

use crate::common::http::{Reply, Request, Server, ranged};
use crate::common::hub::{TOKEN, hex, remote};
use std::{
    fs,
    path::Path,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use periapt::store::{
    ModelSpec, Phase, Progress, Remote, Resolved, Source, State, Store, StoreError, catalogue,
};
use sha2::{Digest, Sha256};
use temp_dir::TempDir;

pub const SIZE: usize = 3_000_000;

// ---- a model, a store, a server ----

/// The next number of a xorshift generator.
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

pub fn random_bytes(seed: u64) -> Arc<Vec<u8>> {
    let mut state = seed;
    Arc::new((0..SIZE).map(|_| random(&mut state) as u8).collect())
}

pub fn known(bytes: &[u8], sources: Vec<Source>) -> &'static [ModelSpec] {
    vec![ModelSpec {
        name: "toy",
        aliases: vec!["toy-of-old"],
        title: "Toy",
        license: "CC0-1.0",
        file: "Toy.gguf",
        bytes: bytes.len() as u64,
        sha256: Some(sha256(bytes)),
        sources,
        recommended: None,
    }]
    .leak()
}

pub fn sha256(bytes: &[u8]) -> &'static str {
    hex(Sha256::digest(bytes)).leak()
}

pub const HUB: Source = Source::Hub {
    repo: "someone/toy",
    exact: true,
};

/// Pulls `toy`; returns the result and all notices, one a line.
pub fn pull(store: &Store) -> (Result<Vec<u8>, StoreError>, String) {
    let mut notices = String::new();
    let result = store.pull(&store.known()[0], &mut |p| {
        if let Progress::Notice(line) = p {
            notices += line;
            notices += "\n";
        }
    });
    (result.map(|path| fs::read(path).unwrap()), notices)
}

/// The reasons of a pull for which no source was left, as one text.
pub fn refusal(result: Result<Vec<u8>, StoreError>) -> String {
    match result {
        Err(e @ StoreError::AllSourcesFailed { .. }) => e.to_string(),
        other => panic!("wanted AllSourcesFailed, got {:?}", other.map(|b| b.len())),
    }
}

pub fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with(".lock"))
        .collect();
    names.sort();
    names
}

impl Server {
    fn store(&self, bytes: &[u8]) -> (Store, TempDir) {
        let dir = TempDir::new().unwrap();
        let store = Store::at(dir.path(), remote(&self.url), known(bytes, vec![HUB])).unwrap();
        (store, dir)
    }
}

/// What a good file server answers.
fn serve(bytes: &[u8], request: &Request) -> Reply {
    ranged(bytes, request, "ETag: \"v1\"\r\n")
}

fn good_server(bytes: &Arc<Vec<u8>>) -> Server {
    let bytes = Arc::clone(bytes);
    Server::start(move |_, request| serve(&bytes, request))
}

fn fixed_server(head: &'static str, body: &[u8]) -> Server {
    let body = body.to_vec();
    Server::start(move |_, _| Reply {
        head: head.to_owned(),
        body: body.clone(),
        hold: false,
    })
}

// ---- over HTTP ----

#[test]
fn a_pull_gives_the_file_and_a_second_one_asks_nobody() {
    let bytes = random_bytes(1);
    let server = good_server(&bytes);
    let (store, dir) = server.store(&bytes);
    let (mut phases, mut last) = (Vec::new(), (None, 0));
    let path = store
        .pull(&store.known()[0], &mut |p| {
            if let Progress::Step {
                phase,
                bytes,
                total,
                ..
            } = p
            {
                assert_eq!(total, SIZE as u64);
                assert!(bytes <= total && (last.0 != Some(phase) || bytes >= last.1));
                if last.0 != Some(phase) {
                    phases.push(phase);
                }
                last = (Some(phase), bytes);
            }
        })
        .unwrap();
    assert_eq!(
        phases,
        [Phase::Connecting, Phase::Downloading, Phase::Verifying]
    );
    assert!(fs::read(&path).unwrap() == *bytes);
    assert_eq!(store.path("toy").unwrap(), Some(path.clone()));
    assert_eq!(names(dir.path()), ["Toy.gguf"]);
    let verified = store.verify("toy", &mut |_| {}).unwrap();
    assert!(verified.known && verified.sha256 == sha256(&bytes));

    assert!(pull(&store).0.unwrap() == *bytes);
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].path, "/someone/toy/resolve/main/Toy.gguf");
    assert!(requests[0].range.is_none() && requests[0].authorization.is_none());
}

/// A server that drops the connection at 20 random offsets, and then a client that gives up after `attempts`.
fn cut_off(attempts: u32) {
    let bytes = random_bytes(2);
    let mut state = 3 + u64::from(attempts);
    let mut cuts: Vec<usize> = (0..20)
        .map(|_| 1 + random(&mut state) as usize % (SIZE - 1))
        .collect();
    cuts.sort_unstable();
    cuts.dedup();
    let (served, offsets) = (Arc::clone(&bytes), cuts.clone());
    let server = Server::start(move |number, request| {
        let mut reply = serve(&served, request);
        if let Some(&cut) = offsets.get(number) {
            reply.body.truncate(cut - request.range.unwrap_or(0));
        }
        reply
    });
    let dir = TempDir::new().unwrap();
    let mut pulls = 0;
    let pulled = loop {
        let remote = Remote {
            attempts,
            ..remote(&server.url)
        };
        let store = Store::at(dir.path(), remote, known(&bytes, vec![HUB])).unwrap();
        pulls += 1;
        match pull(&store).0 {
            Ok(pulled) => break pulled,
            Err(e) => {
                assert!(e.to_string().contains("are kept for the next pull"), "{e}");
                assert!(pulls <= cuts.len(), "{e}");
                assert_eq!(store.list().unwrap()[0].state, State::Partial);
                assert!(matches!(
                    store.verify("toy", &mut |_| {}),
                    Err(StoreError::Partial { .. })
                ));
            }
        }
    };
    assert!(pulled == *bytes);
    assert_eq!(pulls, if attempts == 1 { cuts.len() + 1 } else { 1 });
    let requests = server.requests();
    assert_eq!(requests.len(), cuts.len() + 1);
    assert!(
        requests
            .iter()
            .all(|r| r.if_range == (attempts > 1 && r.range.is_some()))
    );
    let sent = server.seen.lock().unwrap().body_bytes;
    assert!(sent <= SIZE + 128 * 1024, "{sent} bytes for {SIZE}");
}

#[test]
fn one_pull_survives_20_cuts() {
    cut_off(4);
}

#[test]
fn each_of_20_pulls_goes_on_from_the_last() {
    cut_off(1);
}

#[test]
fn a_silent_server_is_given_up_and_the_pull_resumes() {
    let bytes = random_bytes(4);
    let served = Arc::clone(&bytes);
    let server = Server::start(move |number, request| {
        let mut reply = serve(&served, request);
        if number == 0 {
            reply.body.truncate(SIZE / 2);
            reply.hold = true;
        }
        reply
    });
    let dir = TempDir::new().unwrap();
    let remote = Remote {
        stall_timeout: Duration::from_millis(300),
        attempts: 20,
        ..remote(&server.url)
    };
    let store = Store::at(dir.path(), remote, known(&bytes, vec![HUB])).unwrap();
    assert!(pull(&store).0.unwrap() == *bytes);
    assert!(server.requests()[1].range.is_some());
}

#[test]
fn parts_that_the_server_does_not_continue_start_over() {
    let bytes = random_bytes(5);
    type Answer = fn(&[u8], &Request) -> Reply;
    let ignores_range: Answer = |bytes, _| serve(bytes, &Request::default());
    let says_416: Answer = |bytes, request| match request.range {
        Some(_) => Reply {
            head: "416 Range Not Satisfiable\r\nContent-Length: 0\r\n".to_owned(),
            ..Reply::default()
        },
        None => serve(bytes, request),
    };
    for (answer, requests) in [(ignores_range, 1), (says_416, 2)] {
        let served = Arc::clone(&bytes);
        let server = Server::start(move |_, request| answer(&served, request));
        let (store, dir) = server.store(&bytes);
        fs::write(dir.path().join("Toy.gguf.part"), &bytes[..SIZE / 2]).unwrap();
        assert!(pull(&store).0.unwrap() == *bytes);
        assert_eq!(server.requests().len(), requests);
        assert_eq!(server.requests()[0].range, Some(SIZE / 2));
    }
}

#[test]
fn whole_overlong_and_damaged_parts() {
    let bytes = random_bytes(6);
    let longer = [&bytes[..], b"more"].concat();
    let damaged = vec![7; SIZE / 3];
    // (part, requests, whether a wrong hash is reported on the way)
    for (part, requests, mismatch) in [
        (&bytes[..], 0, false),
        (&longer[..], 1, false),
        (&damaged[..], 2, true),
    ] {
        let server = good_server(&bytes);
        let (store, dir) = server.store(&bytes);
        fs::write(dir.path().join("Toy.gguf.part"), part).unwrap();
        let (result, notices) = pull(&store);
        assert!(result.unwrap() == *bytes);
        assert_eq!(server.requests().len(), requests);
        assert_eq!(notices.contains("pulling afresh"), mismatch, "{notices}");
        assert_eq!(names(dir.path()), ["Toy.gguf"]);
    }
}

#[test]
fn wrong_bytes_are_named_removed_and_pulled_once_more() {
    let bytes = random_bytes(7);
    let mut flipped = bytes.to_vec();
    flipped[SIZE - 1] ^= 1;
    let wrong = sha256(&flipped);
    let server = good_server(&Arc::new(flipped));
    let (store, dir) = server.store(&bytes);
    let said = refusal(pull(&store).0);
    assert!(
        said.contains(wrong) && said.contains(sha256(&bytes)),
        "{said}"
    );
    assert_eq!(server.requests().len(), 2);
    assert!(names(dir.path()).is_empty());
}

#[test]
fn what_is_not_the_model_is_refused_and_leaves_nothing() {
    let bytes = random_bytes(8);
    let page = b"<html>please log in</html>";
    let one_more = [&bytes[..], b"x"].concat();
    for (head, body, why, requests) in [
        ("404 Not Found\r\nContent-Length: 0\r\n", &b""[..], "404", 1),
        (
            "401 Unauthorized\r\nContent-Length: 0\r\n",
            b"",
            "HF_TOKEN",
            1,
        ),
        ("503 Busy\r\nContent-Length: 0\r\n", b"", "503", 4),
        (
            "200 OK\r\nContent-Type: text/html; charset=utf-8\r\n",
            page,
            "web page",
            1,
        ),
        (
            "200 OK\r\nContent-Length: 26\r\n",
            page,
            "a file of 26 bytes, but the model has 3000000",
            1,
        ),
        (
            "206 Partial Content\r\nContent-Range: bytes 0-25/26\r\nContent-Length: 26\r\n",
            page,
            "a file of 26 bytes",
            1,
        ),
        (
            "206 Partial Content\r\nContent-Length: 26\r\n",
            page,
            "the range ``",
            1,
        ),
        ("200 OK\r\n", &one_more, "more than the model's 3000000", 1),
    ] {
        let server = fixed_server(head, body);
        let (store, dir) = server.store(&bytes);
        let said = refusal(pull(&store).0);
        let by_hand = said.contains("--model PATH")
            && said.contains(&dir.path().join("Toy.gguf").display().to_string());
        assert!(said.contains(why) && by_hand, "{head}: {said}");
        assert_eq!(server.requests().len(), requests, "{head}");
        assert!(names(dir.path()).is_empty(), "{head}");
    }
}

#[test]
fn the_token_goes_to_the_hub_and_not_along_a_redirect() {
    let bytes = random_bytes(9);
    let elsewhere = good_server(&bytes);
    let other_name = elsewhere.url.replace("127.0.0.1", "localhost");
    for target in [elsewhere.url.clone(), other_name] {
        let location = format!("302 Found\r\nLocation: {target}/cdn\r\nContent-Length: 0\r\n");
        let hub = Server::start(move |_, _| Reply {
            head: location.clone(),
            ..Reply::default()
        });
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join("Toy.gguf.part"), &bytes[..1000]).unwrap();
        let remote = Remote {
            token: Some(TOKEN.to_owned()),
            ..remote(&hub.url)
        };
        assert!(!format!("{remote:?}").contains(TOKEN));
        let store = Store::at(dir.path(), remote, known(&bytes, vec![HUB])).unwrap();
        let (result, notices) = pull(&store);
        assert!(result.unwrap() == *bytes && !notices.contains(TOKEN));
        let sent = hub.requests()[0].authorization.clone();
        assert_eq!(sent, Some(format!("Bearer {TOKEN}")));
        let reached = elsewhere.requests().pop().unwrap();
        assert_eq!((reached.path.as_str(), reached.range), ("/cdn", Some(1000)));
        assert_eq!(reached.authorization, None);
    }
}

#[test]
fn two_pulls_at_once_share_one_download() {
    let bytes = random_bytes(10);
    let (arrived_tx, arrived) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let served = Arc::clone(&bytes);
    let server = Server::start(move |_, request| {
        arrived_tx.send(()).unwrap();
        released.recv().unwrap();
        serve(&served, request)
    });
    let (store, _dir) = server.store(&bytes);
    thread::scope(|scope| {
        let first = scope.spawn(|| pull(&store).0.unwrap());
        arrived.recv().unwrap();
        assert!(matches!(
            store.remove("toy"),
            Err(StoreError::NotInStore { .. })
        ));
        fs::write(store.root().join("Toy.gguf.part"), b"").unwrap();
        assert!(matches!(store.remove("toy"), Err(StoreError::Busy(_))));
        let second = scope.spawn(|| {
            let mut waited = false;
            let path = store.pull(&store.known()[0], &mut |p| {
                if matches!(p, Progress::Notice(line) if line.contains("waiting")) {
                    waited = true;
                    release.send(()).unwrap();
                }
            });
            assert!(waited);
            fs::read(path.unwrap()).unwrap()
        });
        assert!(first.join().unwrap() == *bytes);
        assert!(second.join().unwrap() == *bytes);
    });
    assert_eq!(server.requests().len(), 1);
}

// ---- the folder ----

#[test]
fn a_store_that_cannot_be_written_says_so() {
    let bytes = random_bytes(13);
    let server = good_server(&bytes);
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, b"").unwrap();
    let below_a_file = Store::at(
        file.join("models"),
        remote(&server.url),
        known(&bytes, vec![HUB]),
    );
    let e = pull(&below_a_file.unwrap()).0.unwrap_err();
    assert!(
        matches!(e, StoreError::Unwritable { .. }) && e.to_string().contains("PERIAPT_MODELS"),
        "{e}"
    );
    assert!(server.requests().is_empty());
}

#[cfg(unix)]
#[test]
fn a_read_only_store_gives_what_it_has() {
    use std::os::unix::fs::PermissionsExt;
    let bytes = random_bytes(14);
    let server = good_server(&bytes);
    let (store, dir) = server.store(&bytes);
    let set = |mode| fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
    set(0o555);
    // Permissions do not bind the superuser: it may write here.
    let binding = fs::write(dir.path().join("probe"), b"").is_err();
    match pull(&store).0 {
        Err(e) if binding => assert!(matches!(e, StoreError::Unwritable { .. }), "{e}"),
        result => assert!(!binding && result.unwrap() == *bytes),
    }
    set(0o755);
    fs::write(dir.path().join("Toy.gguf"), &**bytes).unwrap();
    let _ = fs::remove_file(dir.path().join(".Toy.gguf.lock"));
    set(0o555);
    assert!(pull(&store).0.unwrap() == *bytes);
    assert!(!dir.path().join(".Toy.gguf.lock").exists());
    set(0o755);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_keeps_the_part() {
    let bytes = random_bytes(15);
    let server = good_server(&bytes);
    let (store, dir) = server.store(&bytes);
    let part = dir.path().join("Toy.gguf.part");
    std::os::unix::fs::symlink("/dev/full", &part).unwrap();
    let e = pull(&store).0.unwrap_err();
    assert!(matches!(e, StoreError::DiskFull { kept: 0, .. }), "{e}");
    assert!(part.is_symlink());
}

#[test]
fn names_reach_nothing_outside_the_store() {
    let dir = TempDir::new().unwrap();
    let outside = dir.path().join("mine.gguf");
    fs::write(&outside, b"mine").unwrap();
    let store = Store::at(dir.path().join("models"), remote(""), known(b"", vec![])).unwrap();
    fs::create_dir(store.root()).unwrap();
    fs::write(store.root().join(".Toy.gguf.lock"), b"").unwrap();
    let whole = outside.to_str().unwrap();
    for name in [
        "../mine.gguf",
        whole,
        "..\\mine.gguf",
        "C:mine.gguf",
        ".Toy.gguf.lock",
        ".x.gguf",
        "..",
        "",
        "x",
        "a\0.gguf",
    ] {
        assert!(
            matches!(store.remove(name), Err(StoreError::BadName(_))),
            "{name}"
        );
        assert!(
            matches!(store.path(name), Err(StoreError::BadName(_))),
            "{name}"
        );
        assert!(
            matches!(store.verify(name, &mut |_| {}), Err(StoreError::BadName(_))),
            "{name}"
        );
    }
    assert_eq!(fs::read(outside).unwrap(), b"mine");
    assert!(matches!(
        store.remove("mine.gguf"),
        Err(StoreError::NotInStore { .. })
    ));
}

#[test]
fn list_path_verify_and_remove() {
    let bytes = random_bytes(16);
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name);
    let store = Store::at(at("models"), remote(""), known(&bytes, vec![])).unwrap();
    assert!(store.list().unwrap().is_empty());
    fs::create_dir(store.root()).unwrap();
    for (name, content) in [
        ("Toy.gguf", &b"short"[..]),
        ("Toy.gguf.part", b"To"),
        ("own.gguf", b"own"),
        ("notes.txt", b""),
    ] {
        fs::write(store.root().join(name), content).unwrap();
    }
    let list: Vec<_> = store
        .list()
        .unwrap()
        .into_iter()
        .map(|e| (e.name, e.bytes, e.state, e.spec.is_some()))
        .collect();
    let toy = |bytes, state| ("toy".to_owned(), bytes, state, true);
    assert_eq!(
        list,
        [
            ("own.gguf".to_owned(), 3, State::Complete, false),
            toy(5, State::WrongSize),
            toy(2, State::Partial)
        ]
    );

    assert!(matches!(
        store.path("toy"),
        Err(StoreError::WrongSize { have: 5, .. })
    ));
    assert!(matches!(
        pull(&store).0,
        Err(StoreError::WrongSize { have: 5, .. })
    ));
    assert_eq!(store.remove("toy").unwrap(), 7);
    assert_eq!(store.path("toy").unwrap(), None);
    assert!(matches!(
        store.verify("toy", &mut |_| {}),
        Err(StoreError::NotInStore { .. })
    ));

    let mut flipped = bytes.to_vec();
    flipped[0] ^= 1;
    fs::write(store.root().join("Toy.gguf"), &flipped).unwrap();
    let e = store.verify("toy", &mut |_| {}).unwrap_err().to_string();
    for part in [sha256(&flipped), sha256(&bytes), "periapt models rm toy"] {
        assert!(e.contains(part), "{e}");
    }
    let own = store.verify("own.gguf", &mut |_| {}).unwrap();
    assert_eq!((own.known, own.sha256.as_str()), (false, sha256(b"own")));
    assert_eq!(names(store.root()), ["Toy.gguf", "notes.txt", "own.gguf"]);
}

#[test]
fn what_model_means() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("some.bin");
    fs::write(&file, b"x").unwrap();
    let store = Store::at(dir.path().join("models"), remote(""), known(b"", vec![])).unwrap();
    fs::create_dir(store.root()).unwrap();
    fs::write(store.root().join("own.gguf"), b"x").unwrap();
    assert_eq!(
        store.resolve("toy").unwrap(),
        Resolved::Known(&store.known()[0])
    );
    assert_eq!(store.resolve(&file).unwrap(), Resolved::File(file));
    assert_eq!(
        store.resolve("own.gguf").unwrap(),
        Resolved::File(store.root().join("own.gguf"))
    );
    assert!(matches!(
        store.resolve(dir.path()),
        Err(StoreError::NotAFile(_))
    ));
    for path in ["no/such/file", "./nothing", "nothing.gguf"] {
        let e = store.resolve(path).unwrap_err().to_string();
        assert_eq!(e, format!("no such file: {path}"));
    }
    for name in ["toy-of-old", "TOY"] {
        assert_eq!(
            store.resolve(name).unwrap(),
            Resolved::Known(&store.known()[0])
        );
    }
    let far = store.resolve("train").unwrap_err().to_string();
    assert!(
        far.ends_with("one of: toy") && !far.contains("did you mean"),
        "{far}"
    );
    let near = store.resolve("tony").unwrap_err().to_string();
    assert!(near.contains("did you mean `toy`?"), "{near}");
    let near = store.path("tony").unwrap_err().to_string();
    assert!(near.contains("did you mean `toy`?"), "{near}");
}

/// The small model's size and hash are those of the real file.
#[test]
fn the_small_model_is_what_it_says() {
    let Some(model) = std::env::var_os("PERIAPT_TEST_MODEL") else {
        assert!(
            std::env::var_os("PERIAPT_REQUIRE_ALL").is_none_or(|v| v != "1"),
            "PERIAPT_TEST_MODEL is not set"
        );
        eprintln!("SKIPPED: the small model's hash (PERIAPT_TEST_MODEL is not set)");
        return;
    };
    let dir = TempDir::new().unwrap();
    let small = catalogue().small_model();
    fs::copy(model, dir.path().join(small.file)).unwrap();
    let store = Store::at(dir.path(), remote(""), &catalogue().models).unwrap();
    assert!(store.verify(small.name, &mut |_| {}).unwrap().known);
}
