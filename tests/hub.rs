//! Models of the hub by id, against a real HTTP server that answers as the hub does: what is pulled, pinned, gone on
//! with and refused, and where the token goes. And what `models inspect` and the refusal for memory say of them.

use crate::common::http::{Reply, Request, Server, ranged};
use crate::common::hub::{COMMIT, TOKEN, hex, id, large, pull, remote};
use crate::common::tiny::Tiny;
use crate::common::{command, said};
use periapt::store::{Progress, Remote, Resolved, State, Store, StoreError};
use serde_json::{Value, json};
use sha2::Digest;
use std::{
    collections::HashMap,
    fs,
    net::TcpListener,
    path::Path,
    process::Output,
    sync::{Arc, Mutex},
};
use temp_dir::TempDir;

/// A server whose answers are a status line with headers, and a body.
fn serve(answer: impl Fn(&Request) -> (String, Vec<u8>) + Send + 'static) -> Server {
    Server::start(move |_, request| {
        let (head, body) = answer(request);
        Reply {
            head,
            body,
            hold: false,
        }
    })
}

fn file_answer(bytes: &[u8], request: &Request) -> (String, Vec<u8>) {
    let Reply { head, body, .. } = ranged(bytes, request, "");
    (head, body)
}

fn not_found() -> (String, Vec<u8>) {
    (
        "404 Not Found\r\nContent-Length: 0\r\n".to_owned(),
        Vec::new(),
    )
}

/// As `git hash-object` has it.
fn blob_id(bytes: &[u8]) -> String {
    let header = format!("blob {}\0", bytes.len());
    hex(sha1::Sha1::digest([header.as_bytes(), bytes].concat()))
}

type Files = HashMap<&'static str, Vec<u8>>;

/// What the hub's API says of these files; those over 1000 bytes are large files, with a hash.
fn info(files: &Files, commit: &str) -> Vec<u8> {
    let siblings: Vec<Value> = files
        .iter()
        .map(|(name, bytes)| match bytes.len() {
            0..1000 => json!({ "rfilename": name, "size": bytes.len(), "blobId": blob_id(bytes) }),
            _ => large(name, bytes),
        })
        .collect();
    json!({ "id": "some/model", "sha": commit, "gated": false, "siblings": siblings })
        .to_string()
        .into_bytes()
}

/// The hub with one repository, `some/model`.
fn hub(files: Files) -> Server {
    serve(move |request| answer(&files, request))
}

fn answer(files: &Files, request: &Request) -> (String, Vec<u8>) {
    if request.path == "/api/models/some/model/revision/main?blobs=true" {
        let body = info(files, COMMIT);
        return (
            format!("200 OK\r\nContent-Length: {}\r\n", body.len()),
            body,
        );
    }
    let name = request
        .path
        .strip_prefix(&format!("/some/model/resolve/{COMMIT}/"));
    match name.and_then(|name| files.get(name)) {
        Some(bytes) => file_answer(bytes, request),
        None => not_found(),
    }
}

fn folder_files() -> Files {
    HashMap::from([
        ("README.md", b"hello".to_vec()),
        ("config.json", b"{}".to_vec()),
        ("tokenizer.json", b"{ }".to_vec()),
        ("chat_template.jinja", b"x".to_vec()),
        ("generation_config.json", Vec::new()),
        (
            "model.safetensors.index.json",
            br#"{"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}}"#
                .to_vec(),
        ),
        ("model-00001-of-00002.safetensors", vec![1; 300_000]),
        ("model-00002-of-00002.safetensors", vec![2; 200_000]),
        ("pytorch_model.bin", vec![3; 5000]),
    ])
}

fn store(hub: &str, root: &Path, attempts: u32) -> Store {
    let remote = Remote {
        attempts,
        ..remote(hub)
    };
    Store::at(root, remote, &[]).unwrap()
}

/// The real binary with this hub, store and token.
fn periapt(hub: &str, root: &Path, token: Option<&str>, args: &[&str]) -> Output {
    let root = root.to_str().unwrap();
    let vars = [
        ("HF_ENDPOINT", hub),
        ("PERIAPT_MODELS", root),
        ("PERIAPT_LOG", "trace"),
    ];
    let token = token.map(|token| ("HF_TOKEN", token));
    let vars: Vec<_> = vars.into_iter().chain(token).collect();
    command(args, &vars).output().unwrap()
}

#[test]
fn a_folder_is_pulled_whole_and_nothing_beside_it() {
    let server = hub(folder_files());
    let dir = TempDir::new().unwrap();
    let store = store(&server.url, dir.path(), 1);
    assert_eq!(store.hub_path(&id("some/model")).unwrap(), None);
    assert_eq!(
        store.resolve("some/model").unwrap(),
        Resolved::Hub(id("some/model"))
    );
    let path = pull(&store, "some/model").unwrap();
    assert_eq!(path, dir.path().join("some--model@main"));
    let mut names: Vec<_> = fs::read_dir(&path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let wanted = [
        ".listing.json",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
        "tokenizer.json",
    ];
    assert_eq!(names, wanted);
    assert_eq!(
        fs::read(path.join("model-00002-of-00002.safetensors")).unwrap(),
        vec![2; 200_000]
    );
    let record: Value =
        serde_json::from_slice(&fs::read(path.join(".listing.json")).unwrap()).unwrap();
    assert_eq!(record["commit"], COMMIT);

    let asked = server.requests().len();
    assert_eq!(pull(&store, "some/model@main").unwrap(), path);
    assert_eq!(server.requests().len(), asked);
    let entry = store.list().unwrap().remove(0);
    assert_eq!(
        (entry.name.as_str(), entry.state),
        ("some/model@main", State::Complete)
    );
    assert!(store.remove("some/model").unwrap() > 500_000);
    assert!(
        !path.exists()
            && matches!(
                store.remove("some/model"),
                Err(StoreError::NotInStore { .. })
            )
    );
}

/// The hub sends large files on to another host. The token reaches the hub, never that host, and no output.
#[test]
fn the_token_goes_to_the_hub_alone_and_is_never_said() {
    let files = folder_files();
    let large = files.clone();
    let elsewhere = serve(move |request| {
        let name = request.path.strip_prefix("/cdn/").unwrap();
        file_answer(&large[name], request)
    });
    let cdn = elsewhere.url.clone();
    let server = serve(move |request| {
        if request.authorization.as_deref() != Some(&format!("Bearer {TOKEN}")) {
            return (
                "401 Unauthorized\r\nContent-Length: 0\r\n".to_owned(),
                Vec::new(),
            );
        }
        match request.path.rsplit_once('/') {
            // Small files of private repositories: within the hub, where the token is wanted again.
            Some((_, "tokenizer.json")) if !request.path.starts_with("/cache/") => (
                "307 Found\r\nLocation: /cache/tokenizer.json\r\nContent-Length: 0\r\n".to_owned(),
                Vec::new(),
            ),
            Some(("/cache", name)) => file_answer(&files[name], request),
            Some((_, name)) if name.ends_with(".safetensors") => (
                format!("302 Found\r\nLocation: {cdn}/cdn/{name}\r\nContent-Length: 0\r\n"),
                Vec::new(),
            ),
            _ => answer(&files, request),
        }
    });
    let dir = TempDir::new().unwrap();
    let args = ["models", "pull", "some/model"];

    let refused = periapt(&server.url, dir.path(), None, &args);
    assert_eq!(refused.status.code(), Some(3), "{}", said(&refused));
    assert!(
        said(&refused).contains("HF_TOKEN") && said(&refused).contains("401"),
        "{}",
        said(&refused)
    );
    let wrong = periapt(&server.url, dir.path(), Some("hf_wrong_token"), &args);
    assert!(
        said(&wrong).contains("has no access") && !said(&wrong).contains("hf_wrong"),
        "{}",
        said(&wrong)
    );
    assert!(!dir.path().join("some--model@main").exists());
    assert!(elsewhere.requests().is_empty());

    let pulled = periapt(&server.url, dir.path(), Some(TOKEN), &args);
    assert!(pulled.status.success(), "{}", said(&pulled));
    assert!(!said(&pulled).contains(TOKEN), "{}", said(&pulled));
    let reached = elsewhere.requests();
    assert_eq!(reached.len(), 2);
    assert!(
        reached
            .iter()
            .all(|request| request.authorization.is_none()),
        "{reached:?}"
    );
    let path = dir.path().join("some--model@main");
    assert_eq!(
        fs::read(path.join("model-00001-of-00002.safetensors")).unwrap(),
        vec![1; 300_000]
    );
    for entry in fs::read_dir(&path).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains(TOKEN));
    }

    // A failure does not say it either.
    let missing = periapt(
        &server.url,
        dir.path(),
        Some(TOKEN),
        &["models", "pull", "some/other"],
    );
    assert_eq!(missing.status.code(), Some(3));
    assert!(
        said(&missing).contains("has no `some/other@main`"),
        "{}",
        said(&missing)
    );
    assert!(!said(&missing).contains(TOKEN));
}

/// The connection breaks in the first shard, and the branch moves on before the next pull: that one goes on where the
/// first ended, at the first one's commit.
#[test]
fn a_cut_pull_goes_on_at_its_commit() {
    let cut = Arc::new(Mutex::new(true));
    let broken = Arc::clone(&cut);
    let files = folder_files();
    let server = serve(move |request| {
        let broken = *broken.lock().unwrap();
        if !broken && request.path.starts_with("/api/") {
            let body = info(&files, "ffffffffffffffffffffffffffffffffffffffff");
            return (
                format!("200 OK\r\nContent-Length: {}\r\n", body.len()),
                body,
            );
        }
        let (head, mut body) = answer(&files, request);
        if broken && request.path.ends_with("00001-of-00002.safetensors") {
            body.truncate(100_000);
        }
        (head, body)
    });
    let dir = TempDir::new().unwrap();
    let store = store(&server.url, dir.path(), 1);
    let error = pull(&store, "some/model").unwrap_err().to_string();
    assert!(error.contains("100000 of 300000 bytes are kept"), "{error}");
    assert_eq!(store.hub_path(&id("some/model")).unwrap(), None);
    assert_eq!(store.list().unwrap()[0].state, State::Partial);
    *cut.lock().unwrap() = false;
    let asked = server.requests().len();
    let path = pull(&store, "some/model").unwrap();
    let requests = server.requests().split_off(asked);
    assert_eq!(requests[0].range, Some(100_000), "{requests:?}");
    assert!(
        requests.iter().all(|request| request.path.contains(COMMIT)),
        "{requests:?}"
    );
    assert_eq!(
        fs::read(path.join("model-00001-of-00002.safetensors")).unwrap(),
        vec![1; 300_000]
    );
}

/// Killed between two shards: nothing is a part, and yet the model isn't whole. The hashes that the hub told are held
/// against the files later, too.
#[test]
fn what_is_whole_and_what_is_damaged_is_told() {
    let server = hub(folder_files());
    let dir = TempDir::new().unwrap();
    let store = store(&server.url, dir.path(), 1);
    let verify = || store.verify("some/model", &mut |_| {});
    assert!(matches!(verify(), Err(StoreError::NotInStore { .. })));
    let path = pull(&store, "some/model").unwrap();
    assert_eq!(store.list().unwrap()[0].state, State::Complete);
    let verified = verify().unwrap();
    assert_eq!((&verified.path, verified.known), (&path, true));
    assert_eq!(verified.sha256.len(), 64);

    let shard = path.join("model-00002-of-00002.safetensors");
    fs::write(&shard, vec![7; 200_000]).unwrap();
    let error = verify().unwrap_err();
    assert!(matches!(error, StoreError::HashMismatch { .. }), "{error}");
    assert!(error.to_string().contains("00002-of-00002"), "{error}");

    fs::remove_file(&shard).unwrap();
    assert_eq!(store.list().unwrap()[0].state, State::Partial);
    assert!(matches!(verify(), Err(StoreError::Partial { .. })));
}

#[test]
fn damaged_bytes_are_pulled_afresh_and_lasting_damage_is_named() {
    let files = HashMap::from([("m.gguf", vec![5; 2000])]);
    let server = hub(files.clone());
    let dir = TempDir::new().unwrap();
    let store_ = store(&server.url, dir.path(), 1);
    let folder = dir.path().join("some--model@main");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("m.gguf.part"), vec![6; 1000]).unwrap();
    let path = pull(&store_, "some/model").unwrap();
    assert_eq!(fs::read(path).unwrap(), vec![5; 2000]);

    let lying = serve(move |request| {
        let (head, mut body) = answer(&files, request);
        if request.path.ends_with(".gguf") {
            body[0] ^= 1;
        }
        (head, body)
    });
    let dir = TempDir::new().unwrap();
    let error = pull(&store(&lying.url, dir.path(), 1), "some/model").unwrap_err();
    assert!(error.to_string().contains("another sha256"), "{error}");
    assert!(!dir.path().join("some--model@main/m.gguf").exists());
}

#[test]
fn what_the_hub_refuses_or_lacks_is_said() {
    for (status, says) in [
        ("401 Unauthorized", "misspelt"),
        ("403 Forbidden", "terms accepted"),
        ("404 Not Found", "has no `some/model@main`"),
        ("500 Oops", "answers 500"),
    ] {
        let head = format!("{status}\r\nContent-Length: 0\r\n");
        let server = serve(move |_| (head.clone(), Vec::new()));
        let dir = TempDir::new().unwrap();
        let error = pull(&store(&server.url, dir.path(), 1), "some/model").unwrap_err();
        assert!(error.to_string().contains(says), "{status}: {error}");
        assert!(!dir.path().join("some--model@main").exists());
    }
    // A gated repository lists its files and then refuses them.
    let files = folder_files();
    let gated = serve(move |request| match request.path.starts_with("/api/") {
        true => answer(&files, request),
        false => (
            "403 Forbidden\r\nContent-Length: 0\r\n".to_owned(),
            Vec::new(),
        ),
    });
    let dir = TempDir::new().unwrap();
    let error = pull(&store(&gated.url, dir.path(), 1), "some/model").unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::HubRefused {
                status: 403,
                token: false,
                ..
            }
        ),
        "{error}"
    );
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let error = pull(
        &store(&format!("http://{closed}"), dir.path(), 1),
        "some/new",
    )
    .unwrap_err();
    assert!(matches!(error, StoreError::HubFailed { .. }), "{error}");
}

#[test]
fn a_hostile_listing_reaches_nothing_outside_its_folder() {
    let outer = TempDir::new().unwrap();
    let root = outer.path().join("models");
    let index = br#"{"weight_map":{"a":"../../stolen.safetensors"}}"#.to_vec();
    for files in [
        HashMap::from([("../../stolen.gguf", vec![1; 10])]),
        HashMap::from([("/stolen.gguf", vec![1; 10])]),
        HashMap::from([
            ("config.json", b"{}".to_vec()),
            ("model.safetensors.index.json", index),
            ("../../stolen.safetensors", vec![1; 10]),
        ]),
    ] {
        let server = serve(move |request| match request.path.starts_with("/api/") {
            true => answer(&files, request),
            false => match files.iter().find(|(name, _)| request.path.ends_with(*name)) {
                Some((_, bytes)) => file_answer(bytes, request),
                None => not_found(),
            },
        });
        let error = pull(&store(&server.url, &root, 1), "some/model").unwrap_err();
        assert!(
            matches!(
                error,
                StoreError::HubNoModel(_) | StoreError::HubFailed { .. }
            ),
            "{error}"
        );
        let left: Vec<_> = fs::read_dir(outer.path())
            .unwrap()
            .map(|e| e.unwrap().path())
            .collect();
        assert_eq!(left, [&*root]);
        fs::remove_dir_all(&root).unwrap();
    }
}

/// One GGUF file of several, by its quantization; then the same with nobody there to ask.
#[test]
fn generate_and_inspect_take_an_id() {
    let server = hub(HashMap::from([
        ("tiny.Q8_0.gguf", Tiny::new(1).file()),
        ("tiny.F16.gguf", vec![0; 2000]),
    ]));
    let dir = TempDir::new().unwrap();
    let unclear = periapt(
        &server.url,
        dir.path(),
        None,
        &["models", "pull", "some/model"],
    );
    assert_eq!(unclear.status.code(), Some(3));
    assert!(
        said(&unclear).contains("some/model:FILE"),
        "{}",
        said(&unclear)
    );
    let generate = [
        "generate",
        "--model",
        "some/model:q8_0",
        "--device",
        "cpu",
        "-n",
        "3",
        "Hello",
    ];
    let first = periapt(&server.url, dir.path(), None, &generate);
    assert!(first.status.success(), "{}", said(&first));
    let nobody = "http://127.0.0.1:9";
    let again = periapt(nobody, dir.path(), None, &generate);
    assert!(again.status.success(), "{}", said(&again));
    assert_eq!(first.stdout, again.stdout);

    let inspect = [
        "models",
        "inspect",
        "some/model:q8_0",
        "--json",
        "--context",
        "512",
        "--rows",
        "5",
    ];
    let report: Value =
        serde_json::from_slice(&periapt(nobody, dir.path(), None, &inspect).stdout).unwrap();
    assert_eq!(report["architecture"], "llama");
    assert_eq!(report["shape"]["layers"], 2);
    assert_eq!(report["shape"]["kv_heads"], 2);
    assert_eq!(report["vocabulary"], 97);
    assert_eq!(report["types"][0]["type"], "Q8_0");
    let types = report["types"].as_array().unwrap();
    let bytes: u64 = types
        .iter()
        .map(|share| share["bytes"].as_u64().unwrap())
        .sum();
    assert_eq!(report["bytes"], bytes);
    // 2 (keys, values) * 2 layers * 2 heads * 16 wide * 512 tokens * 5 rows * 4 bytes, and the table of positions.
    let memory = &report["memory"][2];
    assert_eq!(memory["rows"], 5);
    assert_eq!(
        memory["cpu"]["f32"]["cache"],
        2 * 2 * 2 * 16 * 512 * 5 * 4 + 512 * 16 * 4
    );
    assert_eq!(
        memory["cpu"]["f16"]["cache"],
        2 * 2 * 2 * 16 * 512 * 5 * 2 + 512 * 16 * 4
    );
    assert_eq!(memory["cpu"]["f32"]["weights"], bytes);
    let text = said(&periapt(
        nobody,
        dir.path(),
        None,
        &["models", "inspect", "some/model:q8_0"],
    ));
    assert!(
        text.contains("Q8_0") && text.contains("97 tokens"),
        "{text}"
    );
    let template = periapt(
        nobody,
        dir.path(),
        None,
        &["models", "inspect", "some/model:q8_0", "--template"],
    );
    assert_eq!(
        String::from_utf8(template.stdout).unwrap(),
        "{% for message in messages %}{{ message.content }}\n{% endfor %}\n"
    );
}

/// A model that doesn't fit is refused before it is loaded, with what would fit, and that does fit.
#[test]
fn a_model_larger_than_memory_is_refused_with_what_fits() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("tiny.gguf");
    fs::write(&path, Tiny::new(1).file()).unwrap();
    let model = path.to_str().unwrap();
    let run = |memory: &str, more: &[&str]| {
        let mut args = vec![
            "generate", "--model", model, "--device", "cpu", "-n", "2", "--memory", memory,
        ];
        args.extend(more);
        args.push("Hello");
        let output = crate::common::periapt(&args);
        (output.status.code(), said(&output))
    };
    assert_eq!(run("64M", &[]).0, Some(0));
    let (code, text) = run("900K", &[]);
    assert_eq!(code, Some(3), "{text}");
    for part in [
        "larger than the memory",
        "weights",
        "900.00 KiB are available",
        "--max-context ",
    ] {
        assert!(text.contains(part), "no `{part}` in: {text}");
    }
    let fits = text
        .split("--max-context ")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap();
    let (code, text) = run("900K", &["--max-context", fits]);
    assert_eq!(code, Some(0), "{text}");
    // What was promised binds: the limit is the session's, too.
    let long = "a".repeat(fits.parse::<usize>().unwrap() + 1);
    let args = [
        "generate",
        "--model",
        model,
        "--device",
        "cpu",
        "--max-context",
        fits,
        &long,
    ];
    let output = crate::common::periapt(&args);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    let (code, text) = run("10K", &[]);
    assert_eq!(code, Some(3));
    assert!(text.contains("take a smaller model"), "{text}");
}

/// Progress is told of every file.
#[test]
fn progress_names_files_and_never_passes_their_sizes() {
    let server = hub(folder_files());
    let dir = TempDir::new().unwrap();
    let mut names = Vec::new();
    let store = store(&server.url, dir.path(), 1);
    let pulled = store.pull_hub(&id("some/model"), &mut |progress| {
        if let Progress::Step {
            source,
            bytes,
            total,
            ..
        } = progress
        {
            assert!(bytes <= total);
            names.push(source.to_owned());
        }
    });
    pulled.unwrap();
    names.dedup();
    assert!(
        names.contains(&"model-00002-of-00002.safetensors".to_owned()),
        "{names:?}"
    );
}
