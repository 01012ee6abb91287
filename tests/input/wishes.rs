//! A preference reaches the model, with its weight, or is refused by name.

use crate::common::place::{Place, text};
use crate::common::{self, stderr};
use serde_json::{Value, json};
use std::process::Command;

/// A template with a place for a system prompt.
const PLACE: &str = "{% for m in messages %}{{ m.content }}\n{% endfor %}";

/// Templates without a place for a system prompt: one without a branch for it
/// (<https://github.com/huggingface/transformers/issues/30545>), one that skips it
/// (<https://github.com/oobabooga/textgen/issues/5356>), one whose roles alternate
/// (<https://github.com/huggingface/transformers/issues/28366>), one that refuses it
/// (<https://github.com/EricLBuehler/mistral.rs/issues/506>), one with a text of its own in its place, one that reads lists
/// of parts alone (<https://github.com/vllm-project/vllm/pull/9358>).
const NO_PLACE: [&str; 6] = [
    "{% for m in messages %}{% if m.role == 'user' %}Q {{ m.content }}\n{% elif m.role == 'assistant' %}A {{ m.content }}\n{% endif %}{% endfor %}A",
    "{% for m in messages if m.role != 'system' %}{{ m.content }}\n{% endfor %}",
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}{{ m['content'] }}\n{% endfor %}",
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{{ m.content }}\n{% endfor %}",
    "You are kind.\n{% for m in messages %}{% if m.role != 'system' %}{{ m.content }}\n{% endif %}{% endfor %}",
    "{% for m in messages %}{% if m.role != 'system' %}{% for part in m.content %}{{ part.text }}{% endfor %}\n{% endif %}{% endfor %}",
];

#[test]
fn a_preference_reaches_the_model_whatever_its_template_has_a_place_for() {
    let place = Place::new();
    for template in NO_PLACE {
        place.template(template);
        let output = place.run(&[
            "generate", "--json", "-n", "1", "--prefer", "in rhyme", "Why?",
        ]);
        assert!(output.status.success(), "{template}: {}", stderr(&output));
        assert_eq!(
            stderr(&output)
                .matches("no place for a system prompt")
                .count(),
            1,
            "{template}"
        );
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(answer["system_prompt"], "folded", "{template}");
        let prompts = &answer["prompt_token_ids"];
        let (base, pref) = (&prompts["base"], &prompts["pref"]);
        let (base, pref) = (text(&common::ids(base)), text(&common::ids(pref)));
        assert_ne!(base, pref, "{template}");
        assert!(pref.contains("in rhyme\n\nWhy?"), "{template}: {pref:?}");
        assert!(base.contains("Why?"), "{template}: {base:?}");

        // Before the first question, whatever came after it.
        let history =
            r#"[{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "You."}]"#;
        let asked = [
            "--system",
            "S",
            "--prefer",
            "in rhyme",
            "--history",
            history,
            "Why?",
        ];
        let prompt = place.prompt(&asked, b"");
        assert!(
            prompt.contains("S in rhyme\n\nWho?"),
            "{template}: {prompt:?}"
        );
        assert!(
            prompt.contains("You.") && prompt.contains("Why?"),
            "{template}: {prompt:?}"
        );
    }
    // Nothing is said, and nothing recorded, where there is nothing to say.
    place.template(PLACE);
    let output = place.run(&[
        "generate", "--json", "-n", "1", "--prefer", "in rhyme", "Why?",
    ]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (stderr(&output).as_str(), answer.get("system_prompt")),
        ("", None)
    );
}

#[test]
fn every_command_puts_the_preference_where_it_shows() {
    let place = Place::new();
    let response = place.write("answer.txt", "No.");
    let dataset = place.write("questions.json", r#"["Why?", "Who?"]"#);
    let trace = place.path("trace.jsonl");
    let record = place.path("record.jsonl");
    for template in &NO_PLACE[..4] {
        place.template(template);
        let score = place.ok(
            &[
                "score",
                "--json",
                "--prefer",
                "in rhyme",
                "--response",
                &response,
                "Why?",
            ],
            b"",
        );
        assert_ne!(score["scores"][0]["preference_score"], 0.0, "{template}");
        assert_eq!(score["system_prompt"], "folded");
        let compared = place.ok(
            &[
                "compare", "--json", "-n", "1", "--prefer", "in rhyme", "Why?",
            ],
            b"",
        );
        let prompts = &compared["answers"][3]["prompt_token_ids"];
        assert_ne!(prompts["base"], prompts["pref"], "{template}");
        assert_eq!(compared["answers"][0]["system_prompt"], "folded");
        // Streams of one's own, and beams.
        let streams = [
            "--stream",
            "name=a;system=Be kind.;weight=2",
            "--stream",
            "name=b;system=Be rude.;weight=-1",
            "Why?",
        ];
        let streams = place.prompts(&streams, b"");
        assert!(
            streams[0].1.contains("Be kind.\n\nWhy?"),
            "{template}: {streams:?}"
        );
        assert!(
            streams[1].1.contains("Be rude.\n\nWhy?"),
            "{template}: {streams:?}"
        );
        let beam = [
            "--method", "beam", "--beams", "2", "--prefer", "in rhyme", "Why?",
        ];
        assert!(
            place.prompt(&beam, b"").contains("in rhyme\n\nWhy?"),
            "{template}"
        );
    }
    let output = place.path("out");
    let eval = place.run(&[
        "eval",
        "--method",
        "base,amulet",
        "-n",
        "2",
        "--prefer",
        "in rhyme",
        "--dataset",
        &dataset,
        "-o",
        output.to_str().unwrap(),
    ]);
    assert!(eval.status.success(), "{}", stderr(&eval));
    let rows = std::fs::read_to_string(output.join("answers.jsonl")).unwrap();
    for row in rows.lines() {
        let row: Value = serde_json::from_str(row).unwrap();
        assert_ne!(row["score"]["preference_score"], 0.0, "{row}");
    }
    let settings = std::fs::read_to_string(output.join("run.json")).unwrap();
    assert!(
        settings.contains(r#""system_prompt": "folded""#),
        "{settings}"
    );
    let traced = place.run(&[
        "generate",
        "-n",
        "2",
        "--prefer",
        "in rhyme",
        "--trace",
        trace.to_str().unwrap(),
        "Why?",
    ]);
    assert!(traced.status.success(), "{}", stderr(&traced));
    let header = std::fs::read_to_string(&trace).unwrap();
    assert!(
        header
            .lines()
            .next()
            .unwrap()
            .contains(r#""system_prompt":"folded""#),
        "{header}"
    );
    // What its responses are worth is of no interest here.
    place.run(&[
        "tpo",
        "-n",
        "4",
        "--samples",
        "2",
        "--rounds",
        "1",
        "--no-baseline",
        "--prefer",
        "in rhyme",
        "--record",
        record.to_str().unwrap(),
        "Why?",
    ]);
    let header = std::fs::read_to_string(&record).unwrap();
    assert!(
        header
            .lines()
            .next()
            .unwrap()
            .contains(r#""system_prompt":"folded""#),
        "{header}"
    );
    let shown = Command::new(env!("CARGO_BIN_EXE_periapt"))
        .args(["trace", "show", trace.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(shown.status.success(), "{}", stderr(&shown));
}

#[test]
fn what_has_no_effect_is_never_silent() {
    let place = Place::new();
    // The first letters alone: base and pref are the same prompt.
    place.template("{% for m in messages %}{{ m.content[:3] }}|{% endfor %}");
    place.fails(
        &[
            "generate",
            "--prompt-set",
            "paper",
            "--prefer",
            "in rhyme",
            "Why?",
        ],
        b"",
        3,
        &["no effect", "pref"],
    );
    let response = place.write("answer.txt", "No.");
    place.fails(
        &[
            "score",
            "--prompt-set",
            "paper",
            "--prefer",
            "in rhyme",
            "--response",
            &response,
            "Why?",
        ],
        b"",
        3,
        &["no effect"],
    );
    // A plain question with a system prompt is written as the transformers library writes it, and that is said.
    place.template(NO_PLACE[1]);
    let output = place.run(&[
        "generate", "--json", "-n", "1", "--system", "Be kind.", "Why?",
    ]);
    assert!(
        stderr(&output).contains("leaves the system prompt out"),
        "{}",
        stderr(&output)
    );
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["system_prompt"], "left_out");
    // The question itself.
    place.template("{{ messages|length }}");
    let output = place.run(&["generate", "-n", "1", "Why?"]);
    assert!(
        stderr(&output).contains("leaves the question out"),
        "{}",
        stderr(&output)
    );
    // A preference of nothing.
    place.template(PLACE);
    for empty in ["", " ", "\t\n", ":2", "\u{200b}"] {
        for command in ["generate", "compare"] {
            place.fails(
                &[command, "--prefer", empty, "Why?"],
                b"",
                2,
                &["--prefer", "empty"],
            );
        }
        place.fails(
            &["tpo", "--prefer", empty, "Why?"],
            b"",
            2,
            &["--prefer", "empty"],
        );
    }
    place.fails(
        &["generate", "--stream", "prefer= ;weight=1", "Why?"],
        b"",
        2,
        &["--stream", "empty"],
    );
    let output = place.run(&["generate", "-n", "1", "--prefer", "concise:0", "Why?"]);
    assert!(
        output.status.success() && stderr(&output).contains("no effect"),
        "{}",
        stderr(&output)
    );
}

/// A number after a colon that was read as a weight, or a weight as text: <https://github.com/dribnet/pixray/pull/46>,
/// <https://github.com/invoke-ai/InvokeAI/pull/258> (which takes `\:` for a colon, as we do),
/// <https://github.com/easydiffusion/easydiffusion/issues/799>; a ratio read as a time:
/// <https://github.com/YosemiteCrew/Yosemite-Crew/issues/3409>.
#[test]
fn a_weight_is_the_same_for_one_preference_and_for_many() {
    let place = Place::new();
    let others: [&[&str]; 2] = [&[], &["--prefer", "in rhyme"]];
    for more in others {
        let first = |given: &str| {
            let args = [&["--prefer", given], more, &["Why?"]].concat();
            let prompts = place.prompts(&args, b"");
            let named = |(name, _): &&(String, String)| name == "pref" || name == "pref1";
            prompts.iter().find(named).unwrap().1.clone()
        };
        for kept in [
            "Mention 10:30",
            "Use ratio 3:2",
            "at 9:05",
            "10:30",
            "Dilute 1:10.",
            "Return of: 3 of us",
            "Star Wars: x",
        ] {
            assert!(first(kept).contains(&format!("{kept}\n")), "{kept}");
        }
        let plain = first("in plain words");
        for weighted in [
            "in plain words:2",
            "in plain words:-0.5",
            "in plain words;weight=3",
        ] {
            assert_eq!(first(weighted), plain, "{weighted}");
        }
        assert!(first("concise:2").contains("Be concise: answer in"));
        assert!(first("Psalm\\:23").contains("Psalm:23\n"));
        assert!(first("Mention 10:30;weight=2").contains("Mention 10:30\n"));
        for unclear in [
            "CO2:2",
            "concise: 2",
            "concise:nan",
            "concise:1e3",
            "concise:1,5",
            "see x.org:80",
            "concise:99999",
        ] {
            let args = [&["generate", "--prefer", unclear], more, &["Why?"]].concat();
            place.fails(&args, b"", 2, &["--prefer", ";weight=NUMBER", "\\:"]);
        }
    }
    let alone = place.ok(
        &[
            "generate",
            "--json",
            "-n",
            "1",
            "--prefer",
            "concise:2",
            "Why?",
        ],
        b"",
    );
    assert_eq!(
        (&alone["method"], &alone["strength"]),
        (&json!("guidance"), &json!(2.0))
    );
    let alone = place.ok(
        &[
            "generate", "--json", "-n", "1", "--prefer", "concise", "Why?",
        ],
        b"",
    );
    assert_eq!(alone["method"], "amulet");
    // Where a weight can do nothing it is refused, and a time is text all the same.
    let response = place.write("answer.txt", "No.");
    let output = place.path("out");
    let output = output.to_str().unwrap();
    let dataset = place.write("questions.json", r#"["Why?"]"#);
    let calls: [&[&str]; 5] = [
        &[
            "generate", "-n", "1", "--method", "amulet", "Why?", "--prefer",
        ],
        &["compare", "-n", "1", "Why?", "--prefer"],
        &["score", "--response", &response, "Why?", "--prefer"],
        &[
            "tpo",
            "--method",
            "base",
            "--prompt-set",
            "paper",
            "-n",
            "2",
            "--samples",
            "1",
            "--rounds",
            "0",
            "Why?",
            "--prefer",
        ],
        &[
            "eval",
            "-n",
            "1",
            "--method",
            "pref",
            "--dataset",
            &dataset,
            "-o",
            output,
            "--prefer",
        ],
    ];
    for call in calls {
        place.fails(
            &[call, &["concise:2"]].concat(),
            b"",
            2,
            &["weight", "concise\\:2"],
        );
        let kept = place.run(&[call, &["Mention 10:30"]].concat());
        assert!(kept.status.success(), "{call:?}: {}", stderr(&kept));
    }
    let row = std::fs::read_to_string(place.path("out/answers.jsonl")).unwrap();
    assert!(row.contains("Mention 10:30"), "{row}");
}
