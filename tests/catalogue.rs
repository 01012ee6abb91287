//! Models by their short names: what the hub's own hash decides, what stands where, and how the command line tells of them.

use crate::common::http::{Server, ranged};
use crate::common::hub::{COMMIT, large, ok, remote, status};
use crate::common::{command, said};
use crate::store::{known, names, pull, random_bytes, sha256};
use periapt::store::{ModelSpec, Source, State, Store, StoreError, catalogue};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use temp_dir::TempDir;

const REPO: Source = Source::Hub {
    repo: "someone/toy",
    exact: false,
};

/// A hub with two files of a repository, of which the first is the toy's.
fn hub(toy: &[u8], other: &[u8]) -> Server {
    let files = [large("Toy.gguf", toy), large("Other.gguf", other)];
    let (toy, other) = (toy.to_vec(), other.to_vec());
    Server::start(move |_, request| {
        if request.path.starts_with("/api/models/someone/toy") {
            return ok(json!({ "sha": COMMIT, "siblings": files }).to_string());
        }
        match request.path.rsplit('/').next() {
            Some("Toy.gguf") => ranged(&toy, request, ""),
            Some("Other.gguf") => ranged(&other, request, ""),
            _ => status("404 Not Found"),
        }
    })
}

/// The toy by name, whose own hash is another one than the hub's; or one whose hash nobody knows beforehand.
fn spec(bytes: &[u8], is_known: bool) -> &'static [ModelSpec] {
    let spec = ModelSpec {
        sha256: is_known.then(|| sha256(bytes)),
        ..known(bytes, vec![REPO])[0].clone()
    };
    vec![spec].leak()
}

#[test]
fn where_the_bytes_may_differ_the_hash_that_the_hub_tells_decides() {
    let (ours, theirs, other) = (random_bytes(31), random_bytes(32), random_bytes(33));
    for is_known in [true, false] {
        let server = hub(&theirs, &other);
        let dir = TempDir::new().unwrap();
        let store = Store::at(dir.path(), remote(&server.url), spec(&ours, is_known)).unwrap();
        let toy = &store.known()[0];
        assert!(store.standing(toy).unwrap().is_none());
        assert!(pull(&store).0.unwrap() == *theirs);
        let folder = dir.path().join("someone--toy@main");
        assert_eq!(store.path("toy").unwrap(), Some(folder.join("Toy.gguf")));
        let standing = store.standing(toy).unwrap().unwrap();
        assert_eq!(standing.state, State::Complete);
        assert_eq!(standing.sha256.as_deref(), Some(sha256(&theirs)));
        let verified = store.verify("toy", &mut |_| {}).unwrap();
        assert!(verified.known && verified.sha256 == sha256(&theirs));
        // A second pull asks nobody.
        let requests = server.requests().len();
        assert!(pull(&store).0.unwrap() == *theirs);
        assert_eq!(server.requests().len(), requests);

        let mut flipped = theirs.to_vec();
        flipped[5] ^= 1;
        fs::write(folder.join("Toy.gguf"), flipped).unwrap();
        assert!(matches!(
            store.verify("toy", &mut |_| {}),
            Err(StoreError::HashMismatch { .. })
        ));
        assert_eq!(store.remove("toy").unwrap(), theirs.len() as u64);
        assert!(names(dir.path()).is_empty());
        assert!(matches!(
            store.remove("toy"),
            Err(StoreError::NotInStore { .. })
        ));
    }
}

#[test]
fn removing_a_known_model_leaves_its_repositorys_other_files() {
    let (toy, other) = (random_bytes(34), random_bytes(35));
    let server = hub(&toy, &other);
    let dir = TempDir::new().unwrap();
    let store = Store::at(dir.path(), remote(&server.url), spec(&toy, false)).unwrap();
    pull(&store).0.unwrap();
    let id = crate::common::hub::id("someone/toy:Other.gguf");
    let kept = store.pull_hub(&id, &mut |_| {}).unwrap();
    store.remove("toy").unwrap();
    assert_eq!(fs::read(kept).unwrap(), *other);
    assert!(store.standing(&store.known()[0]).unwrap().is_none());
}

#[test]
fn a_model_of_the_hub_alone_says_what_the_hub_says() {
    let toy = random_bytes(36);
    let server = Server::start(|_, _| status("401 Unauthorized"));
    let dir = TempDir::new().unwrap();
    let store = Store::at(dir.path(), remote(&server.url), spec(&toy, false)).unwrap();
    assert!(matches!(
        pull(&store).0,
        Err(StoreError::HubRefused { status: 401, .. })
    ));
    // Where there may be other sources, it is one reason of several.
    let store = Store::at(dir.path(), remote(&server.url), spec(&toy, true)).unwrap();
    let error = pull(&store).0.unwrap_err();
    assert!(
        matches!(&error, StoreError::AllSourcesFailed { reasons, .. } if reasons[0].1.contains("401")),
        "{error}"
    );
}

fn periapt(store: &Path, args: &[&str]) -> (Option<i32>, String) {
    let vars = [
        ("PERIAPT_MODELS", store.to_str().unwrap()),
        ("HF_HUB_OFFLINE", "1"),
        ("PERIAPT_MEMORY", "1G"),
    ];
    let output = command(args, &vars).output().unwrap();
    (output.status.code(), said(&output))
}

#[test]
fn an_unknown_name_suggests_near_ones() {
    let dir = TempDir::new().unwrap();
    for (name, near) in [
        ("qwen2.5-coder:0.5", "`qwen2.5-coder:0.5b`"),
        (
            "qwen2.5-coder",
            "`qwen2.5-coder:0.5b` or `qwen2.5-coder:1.5b`",
        ),
        ("Qwen2.5-Coder:0.5B ", "`qwen2.5-coder:0.5b`"),
        ("smolm2:135m", "`smollm2:135m`"),
        ("lama3.2:1b", "`llama3.2:1b`"),
        ("mistral", "`mistral:7b`"),
    ] {
        for args in [
            &["models", "pull", name][..],
            &["models", "path", name],
            &["models", "rm", name],
            &["models", "verify", name],
            &["tokenize", "--model", name, "x"],
        ] {
            let (code, text) = periapt(dir.path(), args);
            assert_eq!(code, Some(3), "{args:?}: {text}");
            assert!(
                text.contains(&format!("did you mean {near}")),
                "{args:?}: {text}"
            );
        }
    }
    let (code, text) = periapt(dir.path(), &["models", "pull", "gpt-2"]);
    assert!(code == Some(3) && !text.contains("did you mean"), "{text}");
}

#[test]
fn the_list_says_size_licence_state_and_what_fits() {
    let dir = TempDir::new().unwrap();
    // A model's own size without its bytes: so there is no header to read.
    let small = catalogue().small_model();
    let file = fs::File::create(dir.path().join(small.file)).unwrap();
    file.set_len(small.bytes).unwrap();
    let (code, text) = periapt(dir.path(), &["models", "list", "--json"]);
    assert_eq!(code, Some(0), "{text}");
    let list: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(list["memory_available_bytes"], 1 << 30);
    let rows = list["catalogue"].as_array().unwrap();
    assert_eq!(rows.len(), catalogue().models.len());
    let row = |name: &str| rows.iter().find(|row| row["name"] == name).unwrap();
    let here = row(small.name);
    assert_eq!(
        [
            &here["state"],
            &here["bytes"],
            &here["fits"],
            &here["bytes_exact"]
        ],
        [
            &json!("complete"),
            &json!(small.bytes),
            &json!(true),
            &json!(true)
        ]
    );
    assert_eq!(here["aliases"], json!(["smollm2-135m-instruct-q4_1"]));
    let large = row("mistral:7b");
    assert_eq!(
        [
            &large["state"],
            &large["fits"],
            &large["bytes_exact"],
            &large["memory_estimated"]
        ],
        [
            &json!("missing"),
            &json!(false),
            &json!(false),
            &json!(true)
        ]
    );
    let defaults = rows.iter().filter(|row| row["default"] == true);
    assert_eq!(defaults.count(), 1);
    assert_eq!(row("qwen2.5-coder:0.5b")["default"], true);
    // What there was before, is there as before.
    assert_eq!(list["models"][0]["name"], small.name);
    assert_eq!(list["models"][0]["sha256"], small.sha256.unwrap());
    let available = list["available"].as_array().unwrap();
    assert_eq!(available.len(), rows.len() - 1);

    let (code, text) = periapt(dir.path(), &["models", "list"]);
    assert_eq!(code, Some(0), "{text}");
    let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap();
    assert!(line("smollm2:135m").contains("here"), "{text}");
    assert!(line("smollm2:135m").contains("Apache-2.0"), "{text}");
    assert!(line("mistral:7b").contains("does not fit"), "{text}");
    assert!(
        line("qwen2.5-coder:0.5b").contains("not pulled yet"),
        "{text}"
    );

    let (_, path) = periapt(
        dir.path(),
        &["models", "path", "smollm2-135m-instruct-q4_1"],
    );
    assert!(path.trim_end().ends_with(small.file), "{path}");
}
