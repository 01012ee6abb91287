//! `periapt eval` with the real binary on a tiny model: what it writes, and that a killed run loses nothing.

use crate::common::place::Place;
use crate::common::{fails, json, periapt, stderr};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Nine questions and two plain ones, beside the tiny model.
fn place() -> Place {
    let place = Place::new();
    let questions: Vec<Value> = (0..9)
        .map(|n| json!({ "index": n, "question": format!("Why {}?", "so ".repeat(n)) }))
        .collect();
    place.write("questions.json", json!(questions).to_string());
    place.write("plain.json", r#"["Who?", "What?"]"#);
    place
}

/// A run into the folder `output`.
fn eval_args(place: &Place, output: &str, more: &[&str]) -> Vec<String> {
    let (model, dataset) = (place.text("tiny.gguf"), place.text("questions.json"));
    let output = place.text(output);
    let fixed = "eval --device cpu -n 12 --prefer brief --batch 4 --prefer".split(' ');
    let args = ["in rhyme", "--system", "Be {preference}", "--model", &model];
    let files = ["--dataset", &dataset, "--output", &output];
    let args = fixed.chain(args).chain(files).chain(more.iter().copied());
    args.map(str::to_owned).collect()
}

fn rows(folder: &Path) -> BTreeSet<String> {
    let file = std::fs::File::open(folder.join("answers.jsonl")).unwrap();
    let rows: Vec<String> = BufReader::new(file).lines().map(Result::unwrap).collect();
    let set: BTreeSet<String> = rows.iter().cloned().collect();
    assert_eq!(set.len(), rows.len(), "a row is there twice");
    set
}

/// Without scores there is no report, and the record says so: a run with scores does not go on with it.
#[test]
fn answers_alone_are_their_own_record() {
    let place = place();
    let args = eval_args(&place, "out", &["--method", "base", "--answers-only"]);
    let output = periapt(&args);
    assert!(output.status.success(), "{}", stderr(&output));
    let rows = rows(&place.path("out"));
    assert!(!rows.is_empty() && rows.iter().all(|row| !row.contains("preference_score")));
    assert!(!place.path("out/summary.json").exists());
    let output = periapt(&eval_args(&place, "out", &["--method", "base"]));
    assert!(!output.status.success());
    assert!(
        stderr(&output).contains("answers_only"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn methods_times_preferences_times_questions() {
    let place = place();
    let more = [
        "--matched",
        "--budget",
        "0.1",
        "--method",
        "base,pref,la,beam",
        "--beams",
        "3",
    ];
    let mut args = eval_args(&place, "out", &more);
    args.extend([
        "--dataset".to_owned(),
        place.text("plain.json"),
        "--json".to_owned(),
    ]);
    let summary = json(&args);
    let methods = summary["methods"].as_array().unwrap();
    let names: Vec<&str> = methods
        .iter()
        .map(|m| m["method"].as_str().unwrap())
        .collect();
    let want = [
        "base",
        "pref",
        "la",
        "beam",
        "amulet",
        "la@k=4.6487",
        "amulet@kl=0.1",
    ];
    assert_eq!(names, want);
    for method in methods {
        assert_eq!(method["answers"], 22, "11 questions x 2 preferences");
        assert!(method["base_perplexity"].as_f64().unwrap() > 1.0);
    }
    assert_eq!(summary["matched"]["answers"], 22);
    assert_eq!(summary["matched"]["identical"], 22);
    let budget = &methods[6];
    assert!(budget["max_kl"].as_f64().unwrap() <= 0.101, "{budget}");
    assert!(
        methods[4]["max_kl"].as_f64().unwrap() > 0.2,
        "the budget had nothing to do"
    );

    let folder = place.path("out");
    assert_eq!(rows(&folder).len(), 7 * 22);
    let row: Value = serde_json::from_str(rows(&folder).first().unwrap()).unwrap();
    for key in [
        "dataset",
        "index",
        "question",
        "preference",
        "method",
        "response",
        "score",
    ] {
        assert!(!row[key].is_null(), "{key} of {row}");
    }
    // The paper's own format.
    let file = folder.join("responses/questions.amulet.json");
    let paper: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(paper.as_array().unwrap().len(), 18);
    let keys: Vec<&String> = paper[0].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["index", "preference", "question", "response"]);
    let plot = std::fs::read_to_string(folder.join("frontier.svg")).unwrap();
    assert!(
        names.iter().all(|name| plot.contains(&format!(">{name}<"))),
        "{plot}"
    );

    // Nothing to do is no error, and other settings are.
    assert_eq!(json(&args), summary);
    args.extend(["--seed".to_owned(), "5".to_owned()]);
    fails(&args, 2, &["other settings", "seed"]);
}

#[test]
fn a_killed_run_goes_on_and_loses_nothing() {
    let place = place();
    let more = ["--method", "pref,amulet", "--temperature", "0.8"];
    let whole = eval_args(&place, "whole", &more);
    assert!(periapt(&whole).status.success());
    let want = rows(&place.path("whole"));

    let killed = eval_args(&place, "killed", &more);
    let folder = place.path("killed");
    let mut kills = 0;
    let mut before = BTreeSet::new();
    // Points in time are spread by a fixed sequence; what matters is that they fall anywhere.
    for turn in 0u64.. {
        let mut run = Command::new(env!("CARGO_BIN_EXE_periapt"))
            .args(&killed)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(5 + turn * 7919 % 173));
        let ended = run.try_wait().unwrap().is_some();
        run.kill().ok();
        run.wait().unwrap();
        kills += usize::from(!ended);
        if folder.join("answers.jsonl").exists() {
            let path = folder.join("answers.jsonl");
            let text = std::fs::read_to_string(&path).unwrap();
            let now: BTreeSet<String> = text
                .split_inclusive('\n')
                .filter_map(|line| line.strip_suffix('\n'))
                .map(str::to_owned)
                .collect();
            assert!(now.is_superset(&before), "an answer was lost");
            before = now;
        }
        if kills >= 20 {
            break;
        }
        if ended {
            // It came through before it was killed often enough: once more from the start.
            assert_eq!(rows(&folder), want);
            std::fs::remove_dir_all(&folder).unwrap();
            before.clear();
        }
    }
    assert!(periapt(&killed).status.success());
    assert_eq!(rows(&folder), want);
}

#[test]
fn a_row_of_another_hand_is_named_and_kept() {
    let place = place();
    std::fs::create_dir(place.path("edited")).unwrap();
    place.write("edited/answers.jsonl", "{\"dataset\": 1}\n");
    let output = periapt(&eval_args(&place, "edited", &[]));
    assert!(!output.status.success());
    assert!(stderr(&output).contains("line 1"), "{}", stderr(&output));
    let left = std::fs::read_to_string(place.path("edited/answers.jsonl")).unwrap();
    assert_eq!(left, "{\"dataset\": 1}\n");
}

/// A dataset's address on a hub, which a real server answers; the second run needs none.
#[test]
fn a_dataset_comes_from_the_hub_once() {
    use std::io::Write;
    let place = place();
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let hub = format!("http://{}", server.local_addr().unwrap());
    let serving = std::thread::spawn(move || {
        let (stream, _) = server.accept().unwrap();
        let mut head = BufReader::new(stream.try_clone().unwrap()).lines();
        let request = head.next().unwrap().unwrap();
        while head.next().is_some_and(|line| !line.unwrap().is_empty()) {}
        let body = r#"["From afar?"]"#;
        let length = body.len();
        let mut stream = stream;
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
        .unwrap();
        request
    });
    let run = || {
        let args = eval_args(
            &place,
            "out",
            &[
                "--dataset",
                "someone/things/data/far.json",
                "--method",
                "pref",
            ],
        );
        Command::new(env!("CARGO_BIN_EXE_periapt"))
            .args(&args)
            .env("HF_ENDPOINT", &hub)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    let output = run();
    assert!(output.status.success(), "{}", stderr(&output));
    let request = serving.join().unwrap();
    assert!(
        request.starts_with("GET /datasets/someone/things/resolve/main/data/far.json "),
        "{request}"
    );
    assert_eq!(rows(&place.path("out")).len(), 20);
    assert!(run().status.success(), "the second run asked the hub again");
    let args = eval_args(&place, "other", &["--dataset", "someone/things/far.json"]);
    let output = Command::new(env!("CARGO_BIN_EXE_periapt"))
        .args(&args)
        .env("HF_ENDPOINT", &hub)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}
