//! What is asked for at which address, with which secrets.

use super::*;
use crate::common::http::ranged;
use periapt::store::Progress;
use std::fs;
use temp_dir::TempDir;

/// https://github.com/huggingface/datasets/issues/5099 (`#` in a path), https://github.com/alvarobartt/hf-mem/pull/68 and
/// https://github.com/huggingface/huggingface_hub/pull/4418 (`/` and `#` in a revision), the same's issue 2808 (a hub below a
/// path); RFC 3986, section 2.1.
#[test]
fn names_are_asked_for_encoded() {
    let file = bytes(3000);
    let mut names = vec![
        ("plain.gguf", "plain.gguf"),
        ("sub dir/mö del+1.gguf", "sub%20dir/m%C3%B6%20del+1.gguf"),
        ("50% #1.gguf", "50%25%20%231.gguf"),
        ("%41%2e.gguf", "%2541%252e.gguf"),
        (
            "日本語/モデル.gguf",
            "%E6%97%A5%E6%9C%AC%E8%AA%9E/%E3%83%A2%E3%83%87%E3%83%AB.gguf",
        ),
        ("a&b=c;d,e!.gguf", "a&b=c;d,e!.gguf"),
        ("a'b(c)[d]{e}.gguf", "a'b(c)[d]%7Be%7D.gguf"),
    ];
    if cfg!(unix) {
        names.push(("why?<>|\".gguf", "why%3F%3C%3E|%22.gguf"));
    }
    for (name, encoded) in names {
        for (revision, commit, api, tree) in [
            ("main", Some(COMMIT), "main", COMMIT),
            ("refs/pr/1", Some(COMMIT), "refs%2Fpr%2F1", COMMIT),
            ("feature/a b", None, "feature%2Fa%20b", "feature%2Fa%20b"),
            ("100%", None, "100%25", "100%25"),
        ] {
            let about = json!({ "sha": commit, "siblings": [large(name, &file)] }).to_string();
            let served = file.clone();
            let server = Server::start(move |number, request| match number {
                0 => ok(about.clone()),
                _ => ranged(&served, request, ""),
            });
            let dir = TempDir::new().unwrap();
            // The hub below a path, as behind a company's mirror.
            let store = store(&format!("{}/api/hf/", server.url), dir.path());
            let path = pull(&store, &format!("o/m@{revision}")).unwrap();
            assert!(fs::read(&path).unwrap() == file);
            assert!(path.ends_with(name), "{}", path.display());
            let asked: Vec<String> = server
                .requests()
                .into_iter()
                .map(|request| request.path)
                .collect();
            let wanted = [
                format!("/api/hf/api/models/o/m/revision/{api}?blobs=true"),
                format!("/api/hf/o/m/resolve/{tree}/{encoded}"),
            ];
            assert_eq!(asked, wanted);
        }
    }
}

/// A password in the address goes to the hub, as the browser would send it, and nowhere else, and is never said; a token goes
/// before it (https://github.com/adobe/fetch/issues/447: where they went along a redirect).
#[test]
fn a_password_goes_to_the_hub_alone() {
    let file = bytes(3000);
    let elsewhere = Server::start({
        let file = file.clone();
        move |_, request| ranged(&file, request, "")
    });
    let location = format!(
        "302 Found\r\nLocation: {}/cdn",
        elsewhere.url.replace("127.0.0.1", "localhost")
    );
    let server = hub_of(&file, move |_, _| status(&location));
    let hub = server.url.replace("http://", "http://me:geheim@");
    for (token, sent) in [(None, "Basic bWU6Z2VoZWlt"), (Some("hf_x"), "Bearer hf_x")] {
        let dir = TempDir::new().unwrap();
        let remote = Remote {
            hub: hub.clone(),
            token: token.map(str::to_owned),
            ..Remote::default()
        };
        assert!(!format!("{remote:?}").contains("geheim"));
        let store = Store::at(dir.path(), remote, &[]).unwrap();
        let mut notices = String::new();
        let pulled = store.pull_hub(&id("o/m"), &mut |progress| {
            if let Progress::Notice(line) = progress {
                notices += line;
            }
        });
        assert!(fs::read(pulled.unwrap()).unwrap() == file);
        assert!(!notices.contains("geheim"), "{notices}");
        let last = server.requests().pop().unwrap();
        assert_eq!(last.authorization.as_deref(), Some(sent));
        assert_eq!(elsewhere.requests().pop().unwrap().authorization, None);
    }
    let port = closed_port();
    let dir = TempDir::new().unwrap();
    let error = pull(
        &store(&format!("http://me:geheim@127.0.0.1:{port}"), dir.path()),
        "o/m",
    );
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("HF_ENDPOINT") && !error.contains("geheim"),
        "{error}"
    );
}
