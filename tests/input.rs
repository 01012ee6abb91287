//! What people type, pipe and save, and what becomes of it: wishes that reach the model, weights, byte order marks, line
//! breaks, typing errors, limits of 0, empty variables. Each kind has the public reports that its cases are made from.

#![allow(clippy::unwrap_used)]

mod common;

use common::stderr;
use common::tiny::Tiny;
use periapt_core::formats::gguf::Value as Metadata;
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use temp_dir::TempDir;

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
const PLACE: &str = "{% for m in messages %}{{ m.content }}\n{% endfor %}";

struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self {
            folder: TempDir::new().unwrap(),
        };
        place.model(PLACE);
        place
    }

    /// The tiny model, with that template.
    fn model(&self, template: &str) {
        let mut tiny = Tiny::new(4);
        for (key, value) in &mut tiny.metadata {
            if key == "tokenizer.chat_template" {
                *value = Metadata::String(template.to_owned());
            }
        }
        std::fs::write(self.path("tiny.gguf"), tiny.file()).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        std::fs::write(self.path(name), bytes).unwrap();
        self.path(name).to_str().unwrap().to_owned()
    }

    /// A command on the tiny model, with that on standard input and these variables.
    fn run_with(&self, args: &[&str], stdin: &[u8], variables: &[(&str, &str)]) -> Output {
        let model = self.path("tiny.gguf");
        let (command, rest) = args.split_first().unwrap();
        let mut call = Command::new(env!("CARGO_BIN_EXE_periapt"));
        call.arg(command).arg("--model").arg(model);
        if *command != "tokenize" && *command != "detokenize" {
            call.args(["--device", "cpu"]);
        }
        let mut child = call
            .args(rest)
            .env("PERIAPT_MODELS", self.path("store"))
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Who refuses a call does not read what is given to it.
        let _ = child.stdin.take().unwrap().write_all(stdin);
        child.wait_with_output().unwrap()
    }

    fn run(&self, args: &[&str]) -> Output {
        self.run_with(args, b"", &[])
    }

    fn ok(&self, args: &[&str], stdin: &[u8]) -> Value {
        let output = self.run_with(args, stdin, &[]);
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| {
            panic!("{args:?}: {e}: {}", String::from_utf8_lossy(&output.stdout))
        })
    }

    /// Fails with that code and says every one of these.
    fn fails(&self, args: &[&str], stdin: &[u8], code: i32, says: &[&str]) {
        let output = self.run_with(args, stdin, &[]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(!said.contains("panicked"), "{args:?}: {said}");
        for word in says {
            assert!(
                said.contains(word),
                "{args:?} does not say {word:?}: {said}"
            );
        }
        assert!(output.stdout.is_empty(), "{args:?}");
    }

    /// The prompts of a call of `generate`, by their streams' names.
    fn prompts(&self, args: &[&str], stdin: &[u8]) -> Vec<(String, String)> {
        let call = [&["generate", "--json", "-n", "1"], args].concat();
        let answer = self.ok(&call, stdin);
        let prompts = answer["prompt_token_ids"].as_object().unwrap();
        prompts
            .iter()
            .map(|(name, ids)| (name.clone(), text(&common::ids(ids))))
            .collect()
    }

    fn prompt(&self, args: &[&str], stdin: &[u8]) -> String {
        self.prompts(args, stdin).pop().unwrap().1
    }
}

/// What the tiny model's tokens stand for.
fn text(ids: &[u32]) -> String {
    let of = |id: &u32| match *id {
        0 => "<|end|>".to_owned(),
        95 => " ".to_owned(),
        96 => "\n".to_owned(),
        id => char::from(b'!' + (id - 1) as u8).to_string(),
    };
    ids.iter().map(of).collect()
}

// ---- A. A preference reaches the model

#[test]
fn a_preference_reaches_the_model_whatever_its_template_has_a_place_for() {
    let place = Place::new();
    for template in NO_PLACE {
        place.model(template);
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
        assert!(
            pref.contains("advice. in rhyme\n\nWhy?\n"),
            "{template}: {pref:?}"
        );
        assert!(base.contains("advice. \n\nWhy?\n"), "{template}: {base:?}");

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
    place.model(PLACE);
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
        place.model(template);
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
    let tpo = place.run(&[
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
    assert!(tpo.status.success(), "{}", stderr(&tpo));
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
    place.model("{% for m in messages %}{{ m.content[:3] }}|{% endfor %}");
    place.fails(
        &["generate", "--prefer", "in rhyme", "Why?"],
        b"",
        3,
        &["no effect", "pref"],
    );
    let response = place.write("answer.txt", "No.");
    place.fails(
        &[
            "score",
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
    place.model(NO_PLACE[1]);
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
    place.model("{{ messages|length }}");
    let output = place.run(&["generate", "-n", "1", "Why?"]);
    assert!(
        stderr(&output).contains("leaves the question out"),
        "{}",
        stderr(&output)
    );
    // A preference of nothing.
    place.model(PLACE);
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
            assert!(first(kept).contains(&format!("advice. {kept}\n")), "{kept}");
        }
        let plain = first("in plain words");
        for weighted in [
            "in plain words:2",
            "in plain words:-0.5",
            "in plain words;weight=3",
        ] {
            assert_eq!(first(weighted), plain, "{weighted}");
        }
        assert!(first("concise:2").contains("should be concise as much"));
        assert!(first("Psalm\\:23").contains("advice. Psalm:23\n"));
        assert!(first("Mention 10:30;weight=2").contains("advice. Mention 10:30\n"));
        for unclear in [
            "H2O:2",
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

// ---- E. Input habits

/// A line break at the end of a prompt file or of what `echo` gives: <https://github.com/ggml-org/llama.cpp/issues/1444>,
/// <https://github.com/rustformers/llm/issues/60>, <https://github.com/ggml-org/llama.cpp/pull/80> (one, not all).
#[test]
fn what_is_piped_asks_what_is_typed() {
    let place = Place::new();
    for (piped, typed) in [
        (&b"hi there\n"[..], "hi there"),
        (b"hi there", "hi there"),
        (b"hi there\r\n", "hi there"),
        (b"hi\n\n", "hi\n"),
        (b"a\nb\n", "a\nb"),
        (b"a\r\nb\r\n", "a\nb"),
        (b"a\r\nb\r\n", "a\r\nb"),
        (b" hi \n", " hi "),
        (b"\xef\xbb\xbfhi\n", "hi"),
        (b"\xef\xbb\xbfhi\r\n", "\u{feff}hi"),
        (b"- which one?\n", "- which one?"),
        (b"--json\n", "--json"),
    ] {
        let typed_prompt = place.prompt(&["--", typed], b"");
        assert_eq!(place.prompt(&["-"], piped), typed_prompt, "{typed:?}");
        assert!(!typed_prompt.contains('\r'));
        let chat = |text: &str, stdin: &[u8]| {
            let chat = format!("--chat={text}");
            place.ok(&["logits", "--json", &chat], stdin)["token_ids"].clone()
        };
        assert_eq!(chat("-", piped), chat(typed, b""), "{typed:?}");
    }
    // Other commands that take a question.
    let response = place.write("answer.txt", "No.");
    for call in [
        &["compare", "--json", "-n", "1", "--prefer", "in rhyme"][..],
        &[
            "score",
            "--json",
            "--prefer",
            "in rhyme",
            "--response",
            &response,
        ],
        &["logits", "--json", "--prompt"],
        &["tokenize", "--json"],
    ] {
        let mut typed = place.ok(&[call, &["Why so?"]].concat(), b"");
        let mut piped = place.ok(&[call, &["-"]].concat(), b"Why so?\n");
        for answer in [&mut typed, &mut piped] {
            for answer in answer["answers"].as_array_mut().into_iter().flatten() {
                answer["timings"] = Value::Null;
            }
        }
        assert_eq!(typed, piped, "{call:?}");
    }
    // Standard input is one text.
    place.fails(
        &["score", "--prefer", "in rhyme", "--response", "-", "-"],
        b"Why?\n",
        2,
        &["only once"],
    );
}

/// Byte order marks and line ends of Windows at the head of data and prompts: <https://github.com/huggingface/datasets/issues/8241>,
/// <https://github.com/pydantic/pydantic-ai/issues/8316>, <https://github.com/infiniflow/ragflow/issues/19179> (silently no
/// records), <https://github.com/langchain-ai/langchain-community/pull/138>, <https://github.com/wbolster/jsonlines/issues/68>.
#[test]
fn files_of_windows_are_the_same_files() {
    let place = Place::new();
    let marked =
        |text: &str| [&b"\xef\xbb\xbf"[..], text.replace('\n', "\r\n").as_bytes()].concat();
    let answers = ["One\ntwo.", "One\ntwo.\n", "\u{feff}One\ntwo."];
    let mut args = vec![
        "score".to_owned(),
        "--json".to_owned(),
        "--prefer=in rhyme".to_owned(),
    ];
    for (at, answer) in answers.iter().enumerate() {
        args.push(format!(
            "--response={}",
            place.write(&format!("unix{at}.txt"), answer)
        ));
        args.push(format!(
            "--response={}",
            place.write(&format!("windows{at}.txt"), answer.replace('\n', "\r\n"))
        ));
    }
    args.push("Why?".to_owned());
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let scores = place.ok(&args, b"");
    for score in scores["scores"].as_array().unwrap() {
        assert_eq!(score["tokens"], "One\ntwo.".len(), "{score}");
    }

    // Data sets as a list and as lines, for eval and for tpo.
    let unix = "[\n\"Why?\",\n{\"question\": \"Who?\", \"index\": 7}\n]\n";
    let lines = "\"Why?\"\n\n{\"question\": \"Who?\", \"index\": 7}\n";
    let mut rows = Vec::new();
    for (name, bytes) in [
        ("a.json", unix.as_bytes().to_vec()),
        ("b.json", marked(unix)),
        ("c.jsonl", lines.as_bytes().to_vec()),
        ("d.jsonl", marked(lines)),
        ("e.jsonl", lines.trim_end().as_bytes().to_vec()),
    ] {
        let dataset = place.write(name, bytes);
        let output = place.path(&format!("{name}.out"));
        let run = |output: &PathBuf| {
            place.run(&[
                "eval",
                "--method",
                "pref",
                "-n",
                "3",
                "--prefer",
                "in rhyme",
                "--dataset",
                &dataset,
                "-o",
                output.to_str().unwrap(),
            ])
        };
        let done = run(&output);
        assert!(done.status.success(), "{name}: {}", stderr(&done));
        let stem = name.split('.').next().unwrap();
        let record = std::fs::read_to_string(output.join("answers.jsonl")).unwrap();
        rows.push(record.replace(&format!(r#""dataset":"{stem}""#), r#""dataset":"x""#));
        // A record that an editor of Windows saved is taken up, and nothing is done twice.
        std::fs::write(output.join("answers.jsonl"), marked(&record)).unwrap();
        let again = run(&output);
        assert!(again.status.success(), "{name}: {}", stderr(&again));
        assert!(
            stderr(&again).contains("2 answers are there already, 0 to go"),
            "{}",
            stderr(&again)
        );
        let record = place.path(&format!("{name}.tpo"));
        let tpo = || {
            place.run(&[
                "tpo",
                "-n",
                "3",
                "--samples",
                "2",
                "--rounds",
                "0",
                "--prefer",
                "in rhyme",
                "--dataset",
                &dataset,
                "--record",
                record.to_str().unwrap(),
            ])
        };
        let done = tpo();
        assert!(done.status.success(), "{name}: {}", stderr(&done));
        let text = std::fs::read_to_string(&record).unwrap();
        std::fs::write(&record, marked(&text)).unwrap();
        let again = tpo();
        assert!(again.status.success(), "{name}: {}", stderr(&again));
        assert!(
            stderr(&again).contains("taken up after 2 of 2"),
            "{}",
            stderr(&again)
        );
    }
    assert!(rows.windows(2).all(|pair| pair[0] == pair[1]), "{rows:?}");

    // A trace, the prompts of the loop, logits, earlier turns.
    let trace = place.path("trace.jsonl");
    let trace = trace.to_str().unwrap();
    let traced = place.run(&["generate", "-n", "2", "--trace", trace, "Why?"]);
    assert!(traced.status.success(), "{}", stderr(&traced));
    let show = || {
        let shown = Command::new(env!("CARGO_BIN_EXE_periapt"))
            .args(["trace", "show", trace])
            .output()
            .unwrap();
        assert!(shown.status.success(), "{}", stderr(&shown));
        shown.stdout
    };
    let shown = show();
    let text = std::fs::read_to_string(trace).unwrap();
    std::fs::write(trace, marked(&text)).unwrap();
    assert_eq!(show(), shown);
    std::fs::create_dir(place.path("prompts")).unwrap();
    place.write(
        "prompts/evaluate.txt",
        marked("Judge.\n---\nOf {{ query }}:\n{{ chosen }}\n"),
    );
    let prompts = place.path("prompts");
    let record = place.path("own.jsonl");
    let tpo = place.run(&[
        "tpo",
        "-n",
        "3",
        "--samples",
        "1",
        "--rounds",
        "1",
        "--mode",
        "revision",
        "--no-baseline",
        "--prompts",
        prompts.to_str().unwrap(),
        "--prefer",
        "in rhyme",
        "--record",
        record.to_str().unwrap(),
        "Why?",
    ]);
    assert!(tpo.status.success(), "{}", stderr(&tpo));
    let record = std::fs::read_to_string(record).unwrap();
    assert!(record.contains(r#""Judge.","Of Why?:\n"#), "{record}");
    let cases = r#"{"cases":[{"alpha":2,"lam":2,"eta":10,"iterations":60,"base_logits":[1],"pref_logits":[1]}]}"#;
    let cases = place.write("cases.json", marked(cases));
    let update = common::periapt(&["amulet-update", "--device", "cpu", &cases]);
    assert!(update.status.success(), "{}", stderr(&update));
    let history = "\u{feff}[{\"role\": \"user\", \"content\": \"a\"},\r\n{\"role\": \"assistant\", \"content\": \"b\"}]";
    assert_eq!(place.prompt(&["--history", history, "c"], b""), "a\nb\nc\n");
    // Options, too.
    assert_eq!(
        place.prompt(
            &["--system", "Be\r\nkind.", "--prefer", "in\r\nrhyme", "Why?"],
            b""
        ),
        place.prompt(
            &["--system", "Be\nkind.", "--prefer", "in\nrhyme", "Why?"],
            b""
        )
    );
}

/// What is no UTF-8 is named with its place: <https://github.com/deepcoldy/botmux/pull/299> (what PowerShell pipes),
/// <https://github.com/PaulJuliusMartinez/jless/issues/114>.
#[test]
fn what_is_no_utf_8_text_is_named_with_its_place() {
    let place = Place::new();
    let ask = ["generate", "-n", "1", "-"];
    place.fails(
        &ask,
        b"Gr\xfc\xdfe\n",
        2,
        &["standard input", "byte 2", "UTF-8"],
    );
    place.fails(&ask, b"\xef\xbb\xbfab\xff", 2, &["byte 5 (0xff)"]);
    place.fails(
        &ask,
        b"\xff\xfeh\0i\0",
        2,
        &["standard input", "UTF-16", "save it as UTF-8"],
    );
    place.fails(&ask, b"\xfe\xff\0h\0i", 2, &["UTF-16"]);
    place.fails(&ask, b"h\0i\0", 2, &["NUL", "byte 1"]);
    place.fails(
        &["tokenize", "-"],
        b"ab\xff",
        2,
        &["standard input", "byte 2"],
    );
    place.fails(&["logits", "--prompt", "-"], b"ab\xff", 2, &["byte 2"]);
    place.fails(&["logits", "--chat", "-"], b"ab\xff", 2, &["byte 2"]);
    place.fails(
        &["compare", "--prefer", "in rhyme", "-"],
        b"ab\xff",
        2,
        &["byte 2"],
    );
    place.fails(
        &["tpo", "--prefer", "in rhyme", "-"],
        b"ab\xff",
        2,
        &["byte 2"],
    );
    let latin = place.write("latin.txt", b"caf\xe9");
    let wide = place.write("wide.txt", b"\xff\xfe[\0\"\0");
    for (file, says) in [(&latin, "byte 3 (0xe9)"), (&wide, "UTF-16")] {
        let name = file.rsplit('/').next().unwrap();
        let says = [name, says];
        place.fails(
            &["score", "--prefer", "in rhyme", "--response", file, "Why?"],
            b"",
            2,
            &says,
        );
        let output = place.path("out");
        place.fails(
            &[
                "eval",
                "--prefer",
                "in rhyme",
                "--dataset",
                file,
                "-o",
                output.to_str().unwrap(),
            ],
            b"",
            2,
            &says,
        );
        let record = place.path("r.jsonl");
        place.fails(
            &[
                "tpo",
                "--prefer",
                "in rhyme",
                "--dataset",
                file,
                "--record",
                record.to_str().unwrap(),
            ],
            b"",
            2,
            &says,
        );
        common::fails(&["amulet-update", "--device", "cpu", file], 2, &says);
    }
}

#[test]
fn an_empty_question_is_none() {
    let place = Place::new();
    for empty in [&b""[..], b"\n", b"\r\n", b"  \t\n", b"\xef\xbb\xbf\n"] {
        place.fails(
            &["generate", "-"],
            empty,
            2,
            &["question is empty", "standard input"],
        );
        place.fails(&["logits", "--chat", "-"], empty, 2, &["question is empty"]);
    }
    place.fails(&["generate", "-"], b"\0\0", 2, &["NUL"]);
    for empty in ["", " ", "\n", "\u{a0}"] {
        place.fails(&["generate", empty], b"", 2, &["question is empty"]);
        place.fails(
            &["compare", "--prefer", "in rhyme", empty],
            b"",
            2,
            &["question is empty"],
        );
        place.fails(
            &["tpo", "--prefer", "in rhyme", empty],
            b"",
            2,
            &["question is empty"],
        );
    }
    let dataset = place.write("questions.json", r#"["Why?", " "]"#);
    let output = place.path("out");
    place.fails(
        &[
            "eval",
            "--prefer",
            "in rhyme",
            "--dataset",
            &dataset,
            "-o",
            output.to_str().unwrap(),
        ],
        b"",
        2,
        &["index 1", "empty"],
    );
    assert_eq!(
        place.ok(&["tokenize", "--json", "-"], b"\n")["token_ids"],
        json!([])
    );
}

/// Reports as those at `parse.rs`: en dashes of documents (<https://github.com/MRtrix3/mrtrix3/issues/2332>), a typing error
/// that was taken as text.
#[test]
fn a_mistyped_option_is_no_question() {
    let place = Place::new();
    for (args, says) in [
        (&["generate", "-n", "2", "--jsom"][..], "--json"),
        (&["generate", "--prefr", "in rhyme", "Why?"], "--prefer"),
        (&["generate", "-prefer", "in rhyme", "Why?"], "--prefer"),
        (
            &["generate", "\u{2013}prefer", "in rhyme", "Why?"],
            "--prefer",
        ),
        (&["compare", "--prefer", "in rhyme", "--jsno"], "--json"),
        (&["tokenize", "--parse-specal"], "--parse-special"),
        (
            &["tpo", "--prefer", "in rhyme", "\u{2014}rounds", "1", "Why?"],
            "--rounds",
        ),
    ] {
        place.fails(args, b"", 2, &[says]);
    }
    assert_eq!(place.prompt(&["--", "--jsom"], b""), "--jsom\n");
    assert_eq!(place.prompt(&["- which one?"], b""), "- which one?\n");
    assert_eq!(place.prompt(&["-5 + 3?"], b""), "-5 + 3?\n");
    assert_eq!(place.prompt(&["--", "-"], b"hi\n"), "hi\n");
}

/// Limits of 0 that crashed or did nothing: <https://github.com/vllm-project/vllm/issues/6521> (no tokens),
/// <https://github.com/abetlen/llama-cpp-python/issues/220> and <https://github.com/karpathy/nanochat/pull/467> (top-k),
/// <https://github.com/EvolvingLMMs-Lab/lmms-eval/issues/1265> (top-p), <https://github.com/gpustack/llama-box/issues/21>
/// (context).
#[test]
fn a_limit_of_0_means_what_is_documented_or_is_refused() {
    let place = Place::new();
    let output = place.path("out");
    let dataset = place.write("questions.json", r#"["Why?"]"#);
    let eval = [
        "eval",
        "--prefer",
        "in rhyme",
        "--dataset",
        &dataset,
        "-o",
        output.to_str().unwrap(),
    ];
    let beam = ["generate", "--prefer", "in rhyme", "--method", "beam"];
    for (call, limit) in [
        (&["generate"][..], &["--top-p", "0"][..]),
        (&["generate"], &["--temperature", "-1"]),
        (&["generate"], &["--min-p", "-0.1"]),
        (&["generate"], &["--repetition-penalty", "0"]),
        (&["generate"], &["--max-context", "0"]),
        (&["generate"], &["-n", "-1"]),
        (
            &["generate", "--prefer", "in rhyme"],
            &["--iterations", "0"],
        ),
        (
            &["generate", "--prefer", "in rhyme"],
            &["--kl-budget", "-1"],
        ),
        (&beam, &["--beams", "0"]),
        (&beam, &["--n-best", "0"]),
        (&beam, &["-n", "0"]),
        (&["tpo", "--prefer", "in rhyme"], &["--samples", "0"]),
        (&["tpo", "--prefer", "in rhyme"], &["-n", "0"]),
        (&["tpo", "--prefer", "in rhyme"], &["--batch", "0"]),
        (&["tpo", "--prefer", "in rhyme"], &["--temperature", "-1"]),
    ] {
        let name = limit[0].trim_start_matches('-');
        let says = if name == "n" { "max-new-tokens" } else { name };
        place.fails(&[call, limit, &["Why?"]].concat(), b"", 2, &[says]);
    }
    for limit in [&["--batch", "0"][..], &["--limit", "0"], &["-n", "0"]] {
        place.fails(
            &[&eval, limit].concat(),
            b"",
            2,
            &[limit[0].trim_start_matches("-n").trim_start_matches('-')],
        );
    }
    place.fails(
        &["logits", "--prompt", "a", "--top", "0"],
        b"",
        2,
        &["--top"],
    );

    let none = place.ok(
        &[
            "generate", "--json", "-n", "0", "--prefer", "in rhyme", "Why?",
        ],
        b"",
    );
    assert_eq!(
        (&none["text"], &none["token_ids"]),
        (&json!(""), &json!([]))
    );
    assert_eq!(none["finish_reason"], "length");
    let trace = place.path("trace.jsonl");
    let trace = trace.to_str().unwrap();
    for (name, limit) in [("-n", "0"), ("--trace-top", "0")] {
        let traced = place.run(&["generate", name, limit, "--trace", trace, "Why?"]);
        assert!(traced.status.success(), "{name}: {}", stderr(&traced));
        let shown = Command::new(env!("CARGO_BIN_EXE_periapt"))
            .args(["trace", "show", trace])
            .output()
            .unwrap();
        assert!(shown.status.success(), "{name}: {}", stderr(&shown));
        std::fs::remove_file(trace).unwrap();
        if name == "-n" {
            let shown = place.run(&["generate", "-n", "0", "Why?"]);
            assert_eq!(shown.stdout, b"\n");
        }
    }
    let tokens = |args: &[&str]| {
        let call = [
            &["generate", "--json", "-n", "6", "--seed", "3"],
            args,
            &["Why?"],
        ]
        .concat();
        place.ok(&call, b"")["token_ids"].clone()
    };
    assert_eq!(
        tokens(&["--temperature", "1.5", "--top-k", "0", "--min-p", "0"]),
        tokens(&["--temperature", "1.5"])
    );
    // So cold that one token alone is left (<https://github.com/vllm-project/vllm/issues/1623>).
    let best = tokens(&[]);
    for cold in [
        &["--temperature", "0"][..],
        &["--temperature", "1e-6"],
        &["--temperature", "1e-12"],
        &["--temperature", "1e-40"],
        &["--temperature", "1e-300"],
        &["--temperature", "-0.0"],
        &[
            "--temperature",
            "1e-12",
            "--top-p",
            "0.9",
            "--min-p",
            "0.1",
            "--top-k",
            "3",
        ],
        &["--temperature", "1", "--top-k", "1"],
        &["--temperature", "1", "--top-p", "1e-9"],
        &["--temperature", "1", "--top-p", "1e-300"],
        &["--temperature", "1", "--min-p", "1"],
    ] {
        assert_eq!(tokens(cold), best, "{cold:?}");
    }
}

/// An empty variable counts as unset: <https://github.com/clap-rs/clap/issues/1611>, <https://github.com/astral-sh/uv/issues/9021>,
/// <https://github.com/zizmorcore/zizmor/pull/1010>; `NO_COLOR` by <https://no-color.org>.
#[test]
fn an_empty_variable_says_nothing() {
    let place = Place::new();
    let ask = ["generate", "-n", "1", "Why?"];
    let plain = place.run(&ask);
    for name in [
        "PERIAPT_MEMORY",
        "PERIAPT_LOG",
        "HF_ENDPOINT",
        "HF_TOKEN",
        "NO_COLOR",
        "HTTPS_PROXY",
        "HTTP_PROXY",
        "ALL_PROXY",
        "https_proxy",
        "NO_PROXY",
        "XDG_CACHE_HOME",
    ] {
        for value in ["", " "] {
            let output = place.run_with(&ask, b"", &[(name, value)]);
            assert!(output.status.success(), "{name}: {}", stderr(&output));
            assert_eq!(
                (&output.stdout, stderr(&output).as_str()),
                (&plain.stdout, ""),
                "{name}={value:?}"
            );
        }
    }
    // And one that is wrong is named.
    let output = place.run_with(&ask, b"", &[("PERIAPT_MEMORY", "much")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("PERIAPT_MEMORY"),
        "{}",
        stderr(&output)
    );
    let output = place.run_with(&ask, b"", &[("PERIAPT_MEMORY", "1k")]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let call = [&ask[..], &["--memory", "4G"]].concat();
    let output = place.run_with(&call, b"", &[("PERIAPT_MEMORY", "1k")]);
    assert!(output.status.success(), "{}", stderr(&output));
}

// ---- G. Long prompts

/// Reads what a command writes to a terminal as its standard error; Python has terminals.
const TERMINAL: &str = "
import os, pty, subprocess, sys
master, slave = pty.openpty()
call = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=slave)
os.close(slave)
seen = b''
while True:
    try:
        part = os.read(master, 65536)
    except OSError:
        break
    if not part:
        break
    seen += part
out = call.stdout.read()
sys.stdout.buffer.write(seen + b'\\n=====\\n' + out)
sys.exit(call.wait())
";

/// Reports as those at `every_pass_over_a_prompt_says_how_far_it_is` in `core/tests/session.rs`.
#[test]
fn a_long_prompt_shows_how_far_it_is_on_a_terminal_alone() {
    let place = Place::new();
    let model = place.path("tiny.gguf");
    let question = "Why so? ".repeat(100);
    let response = place.write("answer.txt", "No.");
    let calls: [&[&str]; 3] = [
        &["generate", "-n", "2"],
        &["score", "--prefer", "in rhyme", "--response", &response],
        &["logits", "--chat"],
    ];
    for call in calls {
        let args = [
            call,
            &[
                &question,
                "--device",
                "cpu",
                "--model",
                model.to_str().unwrap(),
            ],
        ]
        .concat();
        let terminal = Command::new("python3")
            .args(["-c", TERMINAL, env!("CARGO_BIN_EXE_periapt")])
            .args(&args)
            .env("TERM", "xterm")
            .output()
            .unwrap();
        let seen = String::from_utf8_lossy(&terminal.stdout);
        let (bars, answer) = seen.split_once("\n=====\n").unwrap();
        assert!(terminal.status.success(), "{call:?}: {seen}");
        assert!(
            bars.contains("reading") && bars.contains("tokens"),
            "{call:?}: {bars:?}"
        );
        assert!(!answer.contains("reading"), "{call:?}");
        // Into a pipe, nothing.
        let piped = common::periapt(&args);
        assert_eq!(stderr(&piped), "", "{call:?}");
        assert_eq!(String::from_utf8_lossy(&piped.stdout), answer, "{call:?}");
    }
}
