//! Learning a person's preferences from their choices, and answering by them.

use crate::common::api::{CHAT, ask, chat, start};
use crate::common::place::Place;
use crate::common::{fails, json, periapt, stderr};
use periapt_core::persona::{AXES, K, Persona, Taken};
use serde_json::{Value, json};
use std::fs;

fn lines(output: &std::process::Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", stderr(output));
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// A persona that likes the plus of an axis.
fn likes(place: &Place, axis: usize) -> String {
    let mut persona = Persona::default();
    let mut features = [0.0; K];
    features[axis] = 1.0;
    for _ in 0..20 {
        persona.learn(&features, &[0.0; K], Taken::First);
    }
    place.write("person.json", serde_json::to_vec(&persona).unwrap())
}

/// Asks so much that three pairs of answers differ enough to be shown; the tiny model's are often broken.
fn asks(place: &Place, file: &str, said: &str) -> std::process::Output {
    let fixed = "learn --json -n 24 --temperature 1";
    let mut args: Vec<&str> = fixed.split(' ').chain(["--persona", file]).collect();
    for question in [
        "Why is the sky blue?",
        "Why?",
        "Who?",
        "And the sea?",
        "Where?",
        "When?",
        "How?",
        "Tell me.",
    ] {
        args.extend(["--question", question]);
    }
    place.run_with(&args, said.as_bytes(), &[])
}

#[test]
fn choices_are_kept_as_numbers_and_go_on() {
    let place = Place::new();
    let file = place.text("me.json");
    let told = lines(&asks(&place, &file, "1\n=\nq\n"));
    let pairs: Vec<&Value> = told
        .iter()
        .filter(|line| line["first"].is_string())
        .collect();
    assert_eq!((told.len(), pairs.len()), (6, 3), "{told:?}");
    assert_ne!(pairs[0]["first"], pairs[0]["second"]);
    assert_eq!(told[1]["choices"], 1);
    let last = &told[5];
    assert_eq!(last["choices"], 2);
    assert_eq!(last["axes"].as_array().unwrap().len(), K);
    assert_eq!(last["measured"], false);
    let kept = fs::read_to_string(&file).unwrap();
    for pair in pairs {
        for text in [&pair["first"], &pair["second"], &pair["question"]] {
            let text = text.as_str().unwrap();
            assert!(text.len() < 5 || !kept.contains(text), "{text}");
        }
    }
    let persona = Persona::parse(&kept).unwrap();
    assert_eq!(persona.choices()[0].taken, Taken::First);
    assert_eq!(persona.choices()[1].taken, Taken::Same);

    // It goes on; skipping and ending learn nothing.
    let told = lines(&asks(&place, &file, "s\n2\nq\n"));
    assert_eq!(told.last().unwrap()["choices"], 3);
    let told = lines(&asks(&place, &file, "q\n"));
    assert_eq!(told.last().unwrap()["choices"], 3);
    let wrong = asks(&place, &file, "both\n");
    assert_eq!(wrong.status.code(), Some(2));
    assert!(stderr(&wrong).contains("\"both\" is no choice"));

    // The same choices, the same numbers.
    let again = place.text("again.json");
    lines(&asks(&place, &again, "1\n=\nq\n"));
    let again = Persona::parse(&fs::read_to_string(&again).unwrap()).unwrap();
    assert_eq!(again.choices(), &persona.choices()[..2]);
}

#[test]
fn ones_own_writing_is_a_beginning() {
    let place = Place::new();
    let file = place.text("me.json");
    fs::create_dir(place.path("texts")).unwrap();
    place.write(
        "texts/a.md",
        "The first text is of many words.\n\nSo is the second one here.\n\nNo.",
    );
    place.write("texts/b.png", "This is one of many words, and no text.");
    let from = place.text("texts");
    let args = ["learn", "--json", "--persona", &file, "--from", &from];
    let told = lines(&place.run_with(&args, b"", &[]));
    assert_eq!(told.last().unwrap()["choices"], 2);
    let persona = Persona::parse(&fs::read_to_string(&file).unwrap()).unwrap();
    let lengths = persona.choices().iter().map(|choice| choice.difference[0]);
    assert!(lengths.into_iter().all(|length| length == 0.0));
    let nothing = place.write("empty.txt", "a b\n");
    let args = ["learn", "--persona", &file, "--from", &nothing];
    place.fails(&args, b"", 2, &["no text of five words"]);
}

#[test]
fn a_persona_is_shown_edited_moved_and_forgotten() {
    let place = Place::new();
    let file = likes(&place, 1);
    let show = |file: &str| json(&["persona", "show", "--json", "--persona", file]);
    let shown = show(&file);
    assert_eq!(shown["choices"], 20);
    assert_eq!(shown["axes"][1]["towards"], "formal");
    let text = periapt(&["persona", "show", "--persona", &file]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(
        text.contains("20 choices") && text.contains("casual"),
        "{text}"
    );

    let edit = |args: &[&str]| {
        let all = [&["persona", "edit", "--persona", &file], args].concat();
        assert!(periapt(&all).status.success(), "{args:?}");
        show(&file)
    };
    assert_eq!(edit(&["--undo"])["choices"], 19);
    assert_eq!(edit(&["--hold", "warmth=-1.5"])["axes"][3]["held"], -1.5);
    assert_eq!(
        edit(&["--release", "warmth"])["axes"][3]["held"],
        Value::Null
    );
    assert_eq!(edit(&["--pause"])["leans"], json!([]));
    place.fails(
        &["learn", "--persona", &file, "--question", "Why?"],
        b"",
        2,
        &["paused"],
    );
    edit(&["--resume"]);

    let copy = place.text("copy.json");
    periapt(&["persona", "export", "--persona", &file, &copy]);
    assert_eq!(show(&copy), show(&file));
    periapt(&["persona", "forget", "--persona", &file]);
    fails(&["persona", "show", "--persona", &file], 2, &["no persona"]);
    periapt(&["persona", "import", "--persona", &file, &copy]);
    assert_eq!(show(&copy), show(&file));
    // What an import replaces is not lost.
    periapt(&["persona", "edit", "--persona", &file, "--undo"]);
    periapt(&["persona", "import", "--persona", &file, &copy]);
    assert_eq!(show(&place.text("person.json.old"))["choices"], 18);

    let broken = place.write("broken.json", "{\"format\": \"periapt-persona/1\"}");
    fails(
        &["persona", "show", "--persona", &broken],
        2,
        &["no persona"],
    );
    fails(
        &["persona", "import", "--persona", &file, &broken],
        2,
        &["no persona"],
    );
    assert_eq!(show(&copy), show(&file));
    for (args, says) in [
        (["--hold", "taste=1"], "there is no axis"),
        (["--hold", "warmth"], "no AXIS=NUMBER"),
        (["--hold", "warmth=much"], "is no number"),
        (["--hold", "warmth=6"], "from -5 to 5"),
    ] {
        let all = [&["persona", "edit", "--persona", &file], &args[..]].concat();
        fails(&all, 2, &[says]);
    }
}

#[test]
fn answers_lean_along_axes_wherever_they_come_from() {
    let place = Place::new();
    let (model, file) = (place.text("tiny.gguf"), likes(&place, 1));
    let common = [
        "generate", "--json", "--device", "cpu", "-n", "12", "--model", &model,
    ];
    let local = |args: &[&str]| json(&[&common[..], args, &["Why?"]].concat());
    let leant = local(&["--lean", "formality=1.5", "--lean", "length=-0.5"]);
    // The same by hand.
    let stream = |name: &str, prefer: &str, weight: f64| {
        format!("name={name};prefer={prefer};weight={weight}")
    };
    let (length, formality) = (AXES[0], AXES[1]);
    let streams = [
        stream("a", formality.plus.instruction, 1.5),
        "name=base;weight=1".to_owned(),
        stream("b", formality.minus.instruction, -1.5),
        stream("c", length.minus.instruction, 0.5),
        stream("d", length.plus.instruction, -0.5),
    ];
    let mut by_hand = vec!["--method", "guidance"];
    for stream in &streams {
        by_hand.extend(["--stream", stream]);
    }
    assert_eq!(leant["token_ids"], local(&by_hand)["token_ids"]);
    assert_ne!(leant["token_ids"], local(&[])["token_ids"]);

    let shown = json(&[
        "persona",
        "show",
        "--json",
        "--persona",
        &file,
        "--model",
        &model,
    ]);
    assert_eq!(shown["leans"][0]["axis"], "formality");
    let leans = shown["leans"].as_array().unwrap().iter();
    let leans: Vec<String> = leans
        .map(|lean| format!("{}={}", lean["axis"].as_str().unwrap(), lean["k"]))
        .collect();
    let by_hand: Vec<&str> = leans.iter().flat_map(|lean| ["--lean", lean]).collect();
    let persona = local(&["--persona", &file]);
    assert_eq!(persona["token_ids"], local(&by_hand)["token_ids"]);
    let told = local(&["--persona", &file, "--method", "pref"]);
    assert_eq!(told["method"], "pref");
    let words = shown["told"].as_str().unwrap();
    assert!(words.starts_with(formality.plus.instruction));
    let typed = local(&["--prefer", words, "--method", "pref"]);
    assert_eq!(told["token_ids"], typed["token_ids"]);

    for (args, says) in [
        (
            vec!["--persona", &*file, "--prefer", "brief"],
            "leave one out",
        ),
        (vec!["--lean", "taste=1"], "there is no axis"),
        (vec!["--persona", "nobody.json"], "no persona"),
        (
            vec!["--persona", &*file, "--method", "amulet"],
            "leans along no axes",
        ),
    ] {
        let all = [&common[..], &args, &["Why?"]].concat();
        fails(&all, 2, &[says]);
    }

    let server = start(&place, &["--persona", &file]);
    let question = |alignment: Value| {
        let more = json!({ "alignment": alignment, "max_tokens": 12, "temperature": 0 });
        ask(&server, CHAT, &chat("Why?", more))
    };
    let text = |answer: &Value| answer["choices"][0]["message"]["content"].clone();
    let answer = question(json!({}));
    assert_eq!(text(&answer), persona["text"]);
    assert_eq!(answer["alignment"]["method"], "guidance");
    let answer = question(json!({ "lean": { "formality": 1.5, "length": -0.5 } }));
    assert_eq!(text(&answer), leant["text"]);
    assert_eq!(
        text(&question(json!({ "method": "base" }))),
        local(&["--method", "base"])["text"]
    );
}

#[test]
fn features_are_told_by_axis() {
    let place = Place::new();
    let line = |id: &str, response: &str| {
        json!({ "id": id, "question": "Why?", "response": response }).to_string()
    };
    let asked = place.write(
        "lines.jsonl",
        [line("a", "One two."), line("b", "One.")].join("\n"),
    );
    let model = place.text("tiny.gguf");
    let fixed = "persona rate --by-model --per-token --device cpu";
    let args: Vec<&str> = fixed
        .split(' ')
        .chain(["--model", &model, "--lines", &asked])
        .collect();
    let told = lines(&periapt(&args));
    assert_eq!(told.len(), 2);
    let length = told[0]["features"]["length"].as_f64().unwrap();
    assert!((length - 3f64.ln()).abs() < 1e-9);
    let axes = json(&["persona", "axes", "--json"]);
    for (at, axis) in axes["axes"].as_array().unwrap().iter().enumerate() {
        let differences = told[0]["differences"][at].as_array().unwrap();
        let counted = told[0]["counted"][at].as_array().unwrap();
        assert!(
            differences
                .iter()
                .any(|difference| *difference != json!(0.0))
        );
        let sum: f64 = differences
            .iter()
            .zip(counted)
            .filter(|(_, counts)| **counts == json!(true))
            .map(|(difference, _)| difference.as_f64().unwrap().clamp(-1.0, 1.0))
            .sum();
        let ratio = told[0]["log_ratios"][axis["name"].as_str().unwrap()].as_f64();
        let mean = sum / differences.len() as f64;
        assert!((ratio.unwrap() - mean).abs() < 1e-9, "{axis}");
    }
    // What stands in a text needs no model.
    let alone = lines(&periapt(&["persona", "rate", "--lines", &asked]));
    assert_eq!(alone[1]["features"], told[1]["features"]);
    assert_eq!(alone[1].get("log_ratios"), None);
    let broken = place.write("lines.jsonl", line("a", ""));
    fails(&["persona", "rate", "--lines", &broken], 2, &["line 1"]);
}
