//! `periapt score` with the real binary: the reward `fit` beside the rest, answers as lines, and what an echo wins.

use crate::common::model_arg;
use crate::common::place::Place;
use serde_json::{Value, json};

/// What `--lines` gives, one object a line.
fn lines(place: &Place, args: &[&str]) -> Vec<Value> {
    let output = place.run(args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn lines_score_as_files_do() {
    let place = Place::new();
    let files = [
        place.write("a.txt", "No."),
        place.write("b.txt", "Because of that."),
    ];
    let [a, b] = &files;
    let common = [
        "--prefer",
        "concise",
        "--response",
        a,
        "--response",
        b,
        "--per-token",
        "Why?",
    ];
    let of_files = place.ok(&[&["score", "--json"], &common[..]].concat(), b"");
    assert_eq!(of_files["reworded"].as_array().unwrap().len(), 2);
    let line = |question: &str, response: &str, more: Value| {
        let mut line =
            json!({ "question": question, "preference": "concise", "response": response });
        line.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        format!("{line}\n")
    };
    let text = [
        line("Why?", "No.", json!({ "id": "first" })),
        line("Why?", "Because of that.", json!({})),
        "\n".to_owned(),
        line("Who?", "No.", json!({ "ended": false })),
        line(
            "Who?",
            "zq zq zq",
            json!({ "first": false, "reworded": [] }),
        ),
    ];
    let path = place.write("lines.jsonl", text.concat());
    let scored = lines(
        &place,
        &["score", "--json", "--per-token", "--lines", &path],
    );
    assert_eq!(scored.len(), 4);
    let ids: Vec<&Value> = scored.iter().map(|line| &line["id"]).collect();
    assert_eq!(ids, [&json!("first"), &json!(2), &json!(4), &json!(5)]);
    for (of_line, of_file) in scored.iter().zip(of_files["scores"].as_array().unwrap()) {
        for key in ["preference_score", "base_perplexity", "tokens", "fit"] {
            assert_eq!(of_line[key], of_file[key], "{key}");
        }
    }
    let tokens = |place: usize| {
        scored[place]["fit"]["differences"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!((tokens(0), tokens(2)), ("No.".len() + 1, "No.".len()));
    // The limit is of the first ones alone.
    let of = |place: usize, key: &str| scored[place]["fit"][key].as_f64().unwrap();
    assert_eq!(of(2, "nll_limit"), of(3, "nll_limit"));
    assert!((of(2, "nll") - of(2, "nll_limit")).abs() < 1e-6);
    let want = of(3, "style") - (of(3, "nll") - of(3, "nll_limit")).max(0.0);
    assert!((of(3, "reward") - want).abs() < 1e-12);
    // Harder on what is unlikely, and by the other reward alone.
    let harsh = lines(
        &place,
        &["score", "--json", "--fit-beta", "3", "--lines", &path],
    );
    assert!(harsh[3]["fit"]["reward"].as_f64() <= scored[3]["fit"]["reward"].as_f64());
    assert!(harsh[3]["fit"]["counted"].is_null());
    let other = lines(
        &place,
        &[
            "score",
            "--json",
            "--reward",
            "preference",
            "--lines",
            &path,
        ],
    );
    assert!(other.iter().all(|line| line["fit"].is_null()));
    assert_eq!(other[1]["preference_score"], scored[1]["preference_score"]);
}

#[test]
fn lines_that_cannot_be_scored_are_named() {
    let place = Place::new();
    let whole = r#"{"question": "Why?", "preference": "brief", "response": "No."}"#;
    for (text, says) in [
        ("", "there is no line in it"),
        ("{}", "line 1, column 2: missing field `question`"),
        (r#"{"question": "Why?"}"#, "missing field `preference`"),
        (
            &whole.replace("No.", ""),
            "line 1: the question or the response is empty",
        ),
        (
            &whole.replace("Why?", "  "),
            "line 1: the question or the response is empty",
        ),
        (&whole.replace("brief", ""), "line 1: --prefer"),
        (
            &whole.replace('}', ", \"reworded\": [\"a\", \"b\", \"c\"]}"),
            "3 rewordings are too many",
        ),
        (&whole.replace('}', ", \"first\": false}"), "is a first one"),
        (
            &whole.replace('}', ", \"frist\": false}"),
            "unknown field `frist`",
        ),
        (&format!("{whole}\n{whole}\nno JSON\n"), "line 3, column"),
    ] {
        let path = place.write("bad.jsonl", text);
        place.fails(&["score", "--lines", &path], b"", 2, &[says]);
    }
    let path = place.write("good.jsonl", whole);
    place.fails(
        &["score", "--lines", &path, "--reward", "judge"],
        b"",
        2,
        &["fit, preference or remote"],
    );
    place.fails(
        &["score", "--lines", &path, "Why?"],
        b"",
        2,
        &["cannot be used with"],
    );
    place.fails(
        &["score", "--lines", &path, "--fit-clip", "0"],
        b"",
        2,
        &["fit-clip"],
    );
    let tpo = ["tpo", "-n", "4", "--prefer", "brief"];
    for (more, says) in [
        (
            &["--reward", "judge", "--reworded", "short"][..],
            "--reworded is of --reward fit alone",
        ),
        (&["--reworded", " "], "--reworded: a rewording is empty"),
    ] {
        place.fails(&[&tpo[..], more, &["Why?"]].concat(), b"", 2, &[says]);
    }
}

#[test]
fn a_record_holds_the_rewordings_and_the_limit() {
    let place = Place::new();
    let record = place.text("r.jsonl");
    let args = |reward: &'static [&'static str]| {
        let fixed = [
            "tpo",
            "-n",
            "8",
            "--samples",
            "2",
            "--rounds",
            "1",
            "--prefer",
            "concise",
        ];
        let more = ["--record", &record, "--json", "Why?"];
        [&fixed[..], reward, &more]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<String>>()
    };
    let run = |args: &[String]| {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        place.ok(&args, b"")
    };
    assert_eq!(run(&args(&[]))["reward_name"], "fit");
    let text = std::fs::read_to_string(&record).unwrap();
    let all: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(all[0]["reworded"].as_array().unwrap().len(), 2);
    let limits: Vec<&Value> = all
        .iter()
        .filter(|line| line["type"] == "scores")
        .map(|line| &line["nll_limit"])
        .collect();
    // Of both rounds and the comparison's the same.
    assert!(limits.len() >= 3, "{limits:?}");
    assert!(
        limits[0].is_number() && limits.iter().all(|limit| *limit == limits[0]),
        "{limits:?}"
    );
    // The same run taken up before its second round; other rewordings are another run.
    let second = text
        .lines()
        .position(|line| line.contains("\"type\":\"text\""))
        .unwrap();
    let begun: Vec<&str> = text.lines().take(second).collect();
    std::fs::write(&record, begun.join("\n") + "\n").unwrap();
    run(&args(&[]));
    let again = std::fs::read_to_string(&record).unwrap();
    let without_times = |text: &str| -> Vec<Value> {
        let line = |line: &str| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            line.as_object_mut().unwrap().remove("ms");
            line
        };
        text.lines().map(line).collect()
    };
    assert_eq!(without_times(&again), without_times(&text));
    let other = args(&["--reworded", "short"]);
    let other: Vec<&str> = other.iter().map(String::as_str).collect();
    place.fails(&other, b"", 2, &["other settings"]);
    // A record of the other reward has neither, and goes on under its name.
    std::fs::remove_file(&record).unwrap();
    let by_name = args(&["--reward", "preference"]);
    run(&by_name);
    let text = std::fs::read_to_string(&record).unwrap();
    assert!(!text.contains("reworded") && !text.contains("nll_limit"));
    run(&by_name);
}

/// With the real model: what the other reward pays for does not pay here.
#[test]
fn echoes_and_broken_text_do_not_win() {
    let Some(model) = model_arg() else { return };
    let place = Place::new();
    let answer = "Start with a glass of water and a short walk. Then plan the three most important tasks of your day.";
    let echo = "Your answer should be uplifting as much as possible.";
    let mut words: Vec<&str> = answer.split(' ').collect();
    words.sort_unstable_by_key(|word| word.bytes().rev().collect::<Vec<u8>>());
    let texts = [
        answer.to_owned(),
        format!("{echo} {answer}"),
        format!("{answer} {echo}"),
        words.join(" "),
    ];
    let line = |(at, text): (usize, &String)| {
        let question = "What is a good way to start the day?";
        let line = json!({ "question": question, "preference": "uplifting", "response": text, "first": at == 0 });
        format!("{line}\n")
    };
    let path = place.write(
        "lines.jsonl",
        texts.iter().enumerate().map(line).collect::<String>(),
    );
    let args = [
        "score", "--device", "cpu", "--model", &model, "--json", "--lines", &path,
    ];
    let output = crate::common::periapt(&args);
    assert!(output.status.success(), "{output:?}");
    let scores: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let reward = |place: usize| scores[place]["fit"]["reward"].as_f64().unwrap();
    for (place, what) in [
        (1, "an echo before"),
        (2, "an echo behind"),
        (3, "broken text"),
    ] {
        assert!(reward(place) < reward(0), "{what}: {scores:#?}");
    }
    // The other one is won by an echo.
    let other = |place: usize| scores[place]["preference_score"].as_f64().unwrap();
    assert!(other(1) > other(0) || other(2) > other(0), "{scores:#?}");
}
