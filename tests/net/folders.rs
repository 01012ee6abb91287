//! The store's folders of hub models: what is compared, whose files they are, and what is wrong beside them.

use super::*;
use crate::common::http::ranged;
use periapt::store::State;
use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex};
use temp_dir::TempDir;

/// Files and the ids that `git hash-object` printed for them.
const SMALL: [(&str, &str, &str); 3] = [
    (
        "config.json",
        "{}\n",
        "0967ef424bce6791893e9a57bb952f80fd536e93",
    ),
    ("tokenizer.json", "{\"a\": 1}\n", TOKENIZER),
    (
        "generation_config.json",
        "",
        "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391",
    ),
];
const TOKENIZER: &str = "cb5b2f69babc53f9145b45ad20b9a075d48717ef";

type Shared = Arc<Mutex<(Vec<Value>, BTreeMap<String, Vec<u8>>)>>;

/// A hub whose repository may change: what its listing says, and its files. Every revision and commit is the same.
fn changing() -> (Server, Shared) {
    let shared: Shared = Arc::default();
    let own = Arc::clone(&shared);
    let server = Server::start(move |_, request| {
        let (about, files) = &*own.lock().unwrap();
        let path = &request.path;
        if path.starts_with("/api/") {
            return ok(json!({ "sha": about[0], "siblings": about[1..] }).to_string());
        }
        match path.rsplit('/').next().and_then(|name| files.get(name)) {
            Some(bytes) => ranged(bytes, request, ""),
            None => status("404 Not Found"),
        }
    });
    (server, shared)
}

/// Sets what the hub holds at a commit.
fn hold(shared: &Shared, commit: &str, files: Vec<(Value, &[u8])>) {
    let mut held = shared.lock().unwrap();
    held.0 = vec![json!(commit)];
    held.1.clear();
    for (about, bytes) in files {
        held.1.insert(
            about["rfilename"].as_str().unwrap().to_owned(),
            bytes.to_vec(),
        );
        held.0.push(about);
    }
}

fn folder_model(weights: &[u8]) -> Vec<(Value, &[u8])> {
    let mut files = vec![(large("model.safetensors", weights), weights)];
    for (name, text, blob) in SMALL {
        files.push((small(name, text.as_bytes(), blob), text.as_bytes()));
    }
    files
}

/// https://github.com/huggingface/huggingface_hub/issues/2364 and https://github.com/huggingface/transformers/issues/12557 (damage
/// that nothing found), https://github.com/huggingface/swift-transformers/issues/313 (of `tokenizer.json`),
/// https://github.com/paiml/aprender/issues/3971 (of `config.json`).
#[test]
fn every_file_is_compared_and_what_is_not_is_named() {
    let weights = bytes(5000);
    let (server, shared) = changing();
    hold(&shared, COMMIT, folder_model(&weights));
    let dir = TempDir::new().unwrap();
    let store = store(&server.url, dir.path());
    let path = pull(&store, "o/m").unwrap();
    let verify = || store.verify("o/m", &mut |_| {});
    let verified = verify().unwrap();
    assert!(verified.known && verified.unknown.is_empty());

    // One byte of any file, of the same length or not.
    for name in [
        "config.json",
        "tokenizer.json",
        "generation_config.json",
        "model.safetensors",
    ] {
        let file = path.join(name);
        let right = fs::read(&file).unwrap();
        let longer = [&right[..], b" "].concat();
        let mut changed = vec![longer];
        if !right.is_empty() {
            let mut flipped = right.clone();
            flipped[0] ^= 1;
            changed.extend([flipped, right[1..].to_vec()]);
        }
        for bytes in changed {
            fs::write(&file, bytes).unwrap();
            let error = verify().unwrap_err().to_string();
            assert!(
                error.contains(name) && error.contains("models rm"),
                "{error}"
            );
        }
        fs::remove_file(&file).unwrap();
        assert!(
            matches!(verify(), Err(StoreError::Partial { .. })),
            "{name}"
        );
        fs::write(&file, right).unwrap();
    }
    assert!(verify().unwrap().known);

    // What a model would be read from, though the hub has not told of it.
    for name in [
        "chat_template.jinja",
        "tokenizer_config.json",
        "extra.safetensors",
    ] {
        fs::write(path.join(name), "x").unwrap();
        let verified = verify().unwrap();
        assert_eq!(
            (verified.known, verified.unknown),
            (false, vec![name.to_owned()])
        );
        fs::remove_file(path.join(name)).unwrap();
    }

    // A record as older versions wrote it: no ids of the small files.
    let record = path.join(".listing.json");
    let mut listing: Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
    for file in listing["files"].as_array_mut().unwrap() {
        file.as_object_mut().unwrap().remove("blob");
    }
    fs::write(&record, listing.to_string()).unwrap();
    let root = dir.path().to_str().unwrap();
    let output = command(&["models", "verify", "o/m"], &[("PERIAPT_MODELS", root)])
        .output()
        .unwrap();
    let text = said(&output);
    assert!(
        output.status.success() && !text.contains("is right"),
        "{text}"
    );
    for (name, ..) in SMALL {
        assert!(text.contains(name), "{text}");
    }
    assert!(!text.contains("model.safetensors"), "{text}");
}

/// A pull holds small files against their ids, too.
#[test]
fn a_small_file_that_is_another_is_refused() {
    let weights = bytes(5000);
    let (server, shared) = changing();
    hold(&shared, COMMIT, folder_model(&weights));
    shared
        .lock()
        .unwrap()
        .1
        .insert("config.json".to_owned(), b"[]\n".to_vec());
    let dir = TempDir::new().unwrap();
    let error = pull(&store(&server.url, dir.path()), "o/m")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("config.json") && error.contains("git blob id"),
        "{error}"
    );
    assert!(!dir.path().join("o--m@main/config.json").exists());
}

/// https://github.com/owncloud/client/issues/756 and https://github.com/otter-browser/otter-browser/issues/275: what is there already
/// is another version's.
#[test]
fn a_lost_record_mixes_no_commits() {
    let (old, new) = (bytes(5000), bytes(5004)[4..].to_vec());
    let (server, shared) = changing();
    for record in [
        None,
        Some(&b""[..]),
        Some(b"{\"repo\": \"o/m\","),
        Some(b"null"),
    ] {
        let mut files = folder_model(&old);
        files.push((small("chat_template.jinja", b"old", ""), b"old"));
        hold(&shared, COMMIT, files);
        let dir = TempDir::new().unwrap();
        let store = store(&server.url, dir.path());
        let path = pull(&store, "o/m").unwrap();
        match record {
            None => fs::remove_file(path.join(".listing.json")).unwrap(),
            Some(bytes) => fs::write(path.join(".listing.json"), bytes).unwrap(),
        }
        fs::write(path.join("mine.txt"), "mine").unwrap();
        // The same sizes, other bytes; one file is as it was, and one is there no more.
        let other = "ffffffffffffffffffffffffffffffffffffffff";
        hold(&shared, other, folder_model(&new));
        let asked = server.requests().len();
        assert_eq!(pull(&store, "o/m").unwrap(), path);
        assert!(fs::read(path.join("model.safetensors")).unwrap() == new);
        assert!(!path.join("chat_template.jinja").exists());
        assert_eq!(fs::read(path.join("mine.txt")).unwrap(), b"mine");
        assert!(store.verify("o/m", &mut |_| {}).unwrap().known);
        // What is right stays: the listing, and the weights.
        assert_eq!(server.requests().len() - asked, 2);
        assert!(!path.join(".listing.json.tmp").exists());
        let record: Value =
            serde_json::from_slice(&fs::read(path.join(".listing.json")).unwrap()).unwrap();
        assert_eq!(record["commit"], other);
    }
}

/// https://github.com/huggingface/huggingface_hub/pull/1316 (where revisions with slashes lie).
#[test]
fn revisions_have_folders_of_their_own_and_old_ones_are_found() {
    let (server, shared) = changing();
    let dir = TempDir::new().unwrap();
    let store = store(&server.url, dir.path());
    let files = [bytes(2000), bytes(2400)];
    let mut paths = Vec::new();
    for (file, revision) in files.iter().zip(["x/y", "x--y"]) {
        hold(&shared, COMMIT, vec![(large("m.gguf", file), file)]);
        paths.push(pull(&store, &format!("o/m@{revision}")).unwrap());
    }
    assert_ne!(paths[0], paths[1]);
    for (path, file) in paths.iter().zip(&files) {
        assert!(fs::read(path).unwrap() == *file);
    }
    let names = |store: &Store| -> Vec<_> {
        let list = store.list().unwrap();
        list.into_iter()
            .map(|entry| (entry.name, entry.state))
            .collect()
    };
    let both = ["o/m@x--y", "o/m@x/y"].map(|name| (name.to_owned(), State::Complete));
    assert_eq!(names(&store), both);
    store.remove("o/m@x--y").unwrap();

    // As an older version called it.
    let old = dir.path().join("o--m@x--y");
    fs::rename(paths[0].parent().unwrap(), &old).unwrap();
    assert_eq!(names(&store), both[1..]);
    let asked = server.requests().len();
    assert_eq!(pull(&store, "o/m@x/y").unwrap(), old.join("m.gguf"));
    assert_eq!(server.requests().len(), asked);
    assert!(store.verify("o/m@x/y", &mut |_| {}).unwrap().known);
    assert_eq!(store.hub_path(&id("o/m@x--y")).unwrap(), None);
    assert!(matches!(
        store.remove("o/m@x--y"),
        Err(StoreError::NotInStore { .. })
    ));
    assert!(matches!(
        store.verify("o/m@x--y", &mut |_| {}),
        Err(StoreError::NotInStore { .. })
    ));
    // It makes way for who has the name now, and is found all the same.
    assert!(fs::read(pull(&store, "o/m@x--y").unwrap()).unwrap() == files[1]);
    assert!(fs::read(pull(&store, "o/m@x/y").unwrap()).unwrap() == files[0]);
    assert_eq!(names(&store), both);
    assert!(store.remove("o/m@x/y").unwrap() >= 2000);
    assert_eq!(names(&store), both[..1]);
}

/// https://github.com/AUTOMATIC1111/stable-diffusion-webui/pull/7528 and https://github.com/NixOS/nix/issues/2344 (broken links),
/// https://github.com/pybamm-team/PyBaMM/pull/5727 (a broken manifest that hid all other models).
#[cfg(unix)]
#[test]
fn what_is_wrong_beside_a_model_hides_it_not() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let (server, shared) = changing();
    let file = bytes(2000);
    hold(&shared, COMMIT, vec![(large("m.gguf", &file), &file)]);
    let dir = TempDir::new().unwrap();
    let root = dir.path().join("store");
    let store = store(&server.url, &root);
    pull(&store, "o/good").unwrap();
    let at = |name: &str| root.join(name);
    fs::write(at("a.gguf"), "0123456789").unwrap();
    fs::write(dir.path().join("outside.gguf"), "outside").unwrap();
    symlink(dir.path().join("outside.gguf"), at("linked.gguf")).unwrap();
    symlink("loop.gguf", at("loop.gguf")).unwrap();
    symlink("nowhere", at("dangling.gguf")).unwrap();
    symlink("/dev/zero", at("zero.gguf")).unwrap();
    symlink("a.gguf/x", at("beyond.gguf")).unwrap();
    symlink("o--loop@main", at("o--loop@main")).unwrap();
    fs::create_dir(at("folder.gguf")).unwrap();
    fs::create_dir(at("o--empty@main")).unwrap();
    fs::create_dir(at("o--pipe@main")).unwrap();
    fs::create_dir_all(at("o--record@main/.listing.json")).unwrap();
    fs::create_dir(at("o--zero@main")).unwrap();
    symlink("/dev/zero", at("o--zero@main/.listing.json")).unwrap();
    fs::create_dir(at("o--circle@main")).unwrap();
    symlink(".listing.json", at("o--circle@main/.listing.json")).unwrap();
    fs::create_dir(at("o--up@main")).unwrap();
    symlink("..", at("o--up@main/up")).unwrap();
    fs::write(at("closed.gguf"), "closed").unwrap();
    fs::set_permissions(at("closed.gguf"), fs::Permissions::from_mode(0o0)).unwrap();
    for pipe in ["pipe.gguf", "o--pipe@main/.listing.json"] {
        assert!(
            Command::new("mkfifo")
                .arg(at(pipe))
                .status()
                .unwrap()
                .success()
        );
    }
    let vars = [("PERIAPT_MODELS", root.to_str().unwrap())];
    let output = command(&["models", "list", "--json"], &vars)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    let states: BTreeMap<&str, &str> = list["models"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| {
            (
                model["name"].as_str().unwrap(),
                model["state"].as_str().unwrap(),
            )
        })
        .collect();
    for (name, state) in [
        ("a.gguf", "complete"),
        ("linked.gguf", "complete"),
        ("o/good@main", "complete"),
        ("loop.gguf", "unreadable"),
        ("dangling.gguf", "unreadable"),
        ("beyond.gguf", "unreadable"),
        ("o/empty@main", "partial"),
        ("o/pipe@main", "partial"),
        ("o/circle@main", "unreadable"),
    ] {
        assert_eq!(states.get(name), Some(&state), "{name} in {states:?}");
    }
    assert!(
        !states.contains_key("pipe.gguf") && !states.contains_key("zero.gguf"),
        "{states:?}"
    );
    for name in [
        "pipe.gguf",
        "zero.gguf",
        "folder.gguf",
        "dangling.gguf",
        "o/pipe",
        "o/record",
        "o/zero",
    ] {
        let output = command(&["models", "verify", name], &vars)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(3), "{name}: {}", said(&output));
    }

    // What can't be read can go all the same.
    for name in ["o/circle", "loop.gguf", "dangling.gguf"] {
        let output = command(&["models", "rm", name], &vars).output().unwrap();
        assert!(output.status.success(), "{name}: {}", said(&output));
    }

    let page = Page::with(dir, &[]);
    let list: Value = serde_json::from_slice(&page.get("/models.json", &[]).body).unwrap();
    let mut served = Vec::new();
    for model in list["models"].as_array().unwrap() {
        let name = model["name"].as_str().unwrap();
        // As the page makes the address.
        let encoded = name.replace('/', "%2F").replace('@', "%40");
        for path in [name, &encoded] {
            let answer = page.get(&format!("/models/{path}"), &[]);
            assert_eq!(answer.status, 200, "{path}");
            assert_eq!(
                answer.body.len() as u64,
                model["bytes"].as_u64().unwrap(),
                "{path}"
            );
        }
        served.push((name, model["sha256"].as_str()));
    }
    // Permissions do not bind the superuser.
    served.retain(|(name, _)| *name != "closed.gguf");
    let hash = hex(Sha256::digest(&file));
    let wanted = [
        ("a.gguf", None),
        ("linked.gguf", None),
        ("m.gguf", None),
        ("o--good@main/m.gguf", Some(hash.as_str())),
    ];
    assert_eq!(served, wanted);
    for path in [
        "/models/o--good@main",
        "/models/o--good@main/",
        "/models/o--good@main/.listing.json",
    ] {
        assert_eq!(page.get(path, &[]).status, 404, "{path}");
    }
}
