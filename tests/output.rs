//! What is printed and what is written, with the real binary: no text from outside gives a terminal orders, no output
//! destroys what it is made from, nothing half written stays, and damaged records and traces are refused, not believed.
//!
//! Cases from public reports, of this kind of fault in other tools:
//! - <https://github.com/ggml-org/llama.cpp/issues/28969> escape sequences of a model's metadata on the terminal
//! - <https://github.com/kylesnowschwartz/zsh-ai-cmd/issues/4> model output with line breaks and backspaces
//! - <https://github.com/Growth-Circle/cadis/issues/1723> streamed model output, piece by piece
//! - <https://github.com/andrebrait/DATROMTool/issues/38> names of files in a progress bar
//! - <https://github.com/poe-platform/poe-code/issues/647> names and arguments in error messages
//! - <https://github.com/EONRaider/RootWire/issues/53> C1 and bidirectional overrides beside C0
//! - <https://github.com/scottcrosby-securebine/kali-mcp-server/issues/80> what a server says, and an HTML report
//! - <https://github.com/uraurora/turnstile/issues/22> recordings that are shown again
//! - <https://github.com/boxdot/gurk-rs/issues/384> messages of others, in Rust
//! - <https://github.com/ggml-org/llama.cpp/issues/12753> an output over a device
//! - <https://github.com/mp3splt/mp3splt/issues/139>, <https://github.com/MarcCote/tractconverter/issues/33>,
//!   <https://github.com/libjpeg-turbo/libjpeg-turbo/issues/914> an output over its own input
//! - <https://github.com/uutils/coreutils/issues/9877> an output that is a link to a full device
//! - <https://github.com/torognes/vsearch/issues/243>, <https://github.com/sharkdp/fd/issues/737>,
//!   <https://github.com/uutils/coreutils/issues/9782> a full standard output or file that nobody hears of
//! - <https://github.com/sharkdp/fd/issues/24>, <https://github.com/rust-lang/rust/pull/97970> pipes that close
//! - <https://github.com/NixOS/nixfmt/issues/11>, <https://github.com/Dr-Emann/applesauce/issues/23>,
//!   <https://github.com/astral-sh/ruff/issues/26480> what Ctrl-C leaves behind
//! - <https://github.com/huggingface/OpenEnv/pull/1154>, <https://github.com/microsoft/TypeAgent/pull/2769>,
//!   <https://github.com/PrimeIntellect-ai/verifiers/pull/803> lines that a run takes up again, damaged
//! - <https://github.com/Kozea/Radicale/issues/309>, <https://github.com/xrootd/xrootd/issues/2343>,
//!   <https://github.com/lijunzh/koda/issues/390> tokens and proxies' passwords in logs

use crate::common::place::Place;
use crate::common::tiny::Tiny;
use crate::common::{expect_failure, skip, stderr};
use periapt_core::formats::gguf::{Array, Value as Meta};
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::fmt::Debug;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use temp_dir::TempDir;

/// A title, colour, C1, a direction, DEL, a line that is written over, a bell.
const HOSTILE: &str = "x\u{1b}]0;owned\u{7}\u{1b}[31m\u{9b}2J\u{202e}\u{7f}\r\u{8}y";

/// The same with a line that pretends to be ours.
const FORGED: &str = "x\u{1b}[2K\nperiapt: all is well\u{202e}";

/// What a terminal, or an eye, takes for an order.
fn orders(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8(bytes.to_vec()).expect("it is UTF-8");
    let is_order = |c: char| {
        c.is_control() && c != '\n' && c != '\t'
            || ('\u{202a}'..='\u{202e}').contains(&c)
            || ('\u{2066}'..='\u{2069}').contains(&c)
    };
    text.contains(is_order).then(|| format!("{text:?}"))
}

fn command(args: &[impl AsRef<OsStr> + Debug]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_periapt"));
    command.args(args).stdin(Stdio::null());
    command
}

/// Runs it; standard error must hold no order and no panic.
fn run(args: &[impl AsRef<OsStr> + Debug]) -> Output {
    checked(args, &mut command(args))
}

fn checked(args: &[impl Debug], command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert_eq!(orders(&output.stderr), None, "{args:?}: standard error");
    assert!(
        !stderr(&output).contains("panicked"),
        "{args:?}: {}",
        stderr(&output)
    );
    output
}

/// Runs what prints a report: standard output holds no order either.
fn report(args: &[impl AsRef<OsStr> + Debug]) -> Output {
    let output = run(args);
    assert_eq!(orders(&output.stdout), None, "{args:?}: standard output");
    output
}

/// Runs what must be refused; nothing pretends to be another line of ours.
fn refused(args: &[impl AsRef<OsStr> + Debug], code: i32, says: &[&str]) {
    let output = report(args);
    let said = stderr(&output);
    assert!(!said.contains("\nperiapt: all is well"), "{args:?}: {said}");
    expect_failure(args, &output, code, says);
}

/// What a terminal gets to see of a command: `script` opens one.
fn on_a_terminal(args: &[&str]) -> Option<Vec<u8>> {
    let quote = |arg: &&str| format!("'{}'", arg.replace('\'', "'\\''"));
    let line: Vec<String> = args.iter().map(quote).collect();
    let line = format!("{} {}", env!("CARGO_BIN_EXE_periapt"), line.join(" "));
    let mut script = Command::new("script");
    script
        .args(["-qec", &line, "/dev/null"])
        .stdin(Stdio::null())
        .env("NO_COLOR", "1");
    match script.output() {
        Ok(output) => Some(output.stdout),
        Err(_) => {
            skip("there is no `script` to open a terminal with");
            None
        }
    }
}

/// A model whose every text is hostile, and which still answers; its rare characters are control characters.
fn hostile(tiny: &mut Tiny) {
    for key in ["general.name", "general.license", "general.author"] {
        tiny.set(key, Meta::String(format!("{HOSTILE}{FORGED}")));
    }
    // Byte-level BPE writes the bytes 0 to 31 as U+0100 to U+011F.
    let rare = "`^~|{}@$%&+=";
    let controls = (0x10d..0x11f)
        .filter(|c| *c != 0x110)
        .filter_map(char::from_u32);
    let mut controls = controls.rev().take(rare.len());
    for (key, value) in &mut tiny.metadata {
        if let ("tokenizer.ggml.tokens", Meta::Array(Array::Strings(tokens))) =
            (key.as_str(), value)
        {
            for token in tokens
                .iter_mut()
                .filter(|token| rare.contains(token.as_str()))
            {
                *token = controls.next().unwrap().to_string();
            }
        }
    }
}

const TINY: [&str; 6] = ["--device", "cpu", "-n", "40", "--temperature", "3"];

#[test]
fn a_models_texts_reach_no_terminal_as_orders() {
    let place = Place::new();
    let model = place.model("hostile.gguf", hostile);
    let output = report(&["models", "inspect", &model]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("x\\u{1b}]0;owned\\u{7}") && !said.contains("\nperiapt:"),
        "{said}"
    );
    // JSON says the same and reads back as it was.
    let json = report(&["models", "inspect", "--json", &model]).stdout;
    let json: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["name"], format!("{HOSTILE}{FORGED}"));

    // Answers are data: exact in a pipe, harmless on a terminal.
    let ask = [&["generate", "--model", &model][..], &TINY, &["why?"]].concat();
    let output = run(&ask);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = &report(&[&ask[..], &["--json"]].concat()).stdout;
    let text: Value = serde_json::from_slice(text).unwrap();
    let text = text["text"].as_str().unwrap();
    assert!(
        text.contains(char::is_control),
        "the model says nothing hostile: {text:?}"
    );
    assert_eq!(output.stdout, format!("{text}\n").as_bytes());
    let compare = [
        &["compare", "--model", &model][..],
        &TINY,
        &["--prefer", "brief", "why?"],
    ]
    .concat();
    let tpo = [
        &["tpo", "--model", &model][..],
        &TINY,
        &[
            "--samples",
            "2",
            "--rounds",
            "1",
            "--prefer",
            "brief",
            "why?",
        ],
    ]
    .concat();
    for args in [&ask, &compare, &tpo] {
        run(args);
        report(&[&args[..], &["--json"]].concat());
        let Some(seen) = on_a_terminal(args) else {
            break;
        };
        let seen = String::from_utf8(seen).unwrap();
        // indicatif's own lines are drawn with escape sequences; text from outside has none.
        let lines = seen.replace("\r\n", "\n");
        let own = ["\u{1b}[1A", "\u{1b}[2K", "\u{1b}[1B", "\u{1b}[0m", "\r"];
        let rest = own.iter().fold(lines, |text, own| text.replace(own, ""));
        assert_eq!(orders(rest.as_bytes()), None, "{args:?} on a terminal");
    }
    let ids: Vec<String> = (1..97).map(|id| id.to_string()).collect();
    let args = ["detokenize", "--model", &model, &ids.join(",")];
    assert!(
        orders(&run(&args).stdout).is_some(),
        "the model has no control characters"
    );
    if let Some(seen) = on_a_terminal(&args) {
        assert_eq!(
            orders(
                String::from_utf8(seen)
                    .unwrap()
                    .replace("\r\n", "\n")
                    .as_bytes()
            ),
            None
        );
    }
    report(&["detokenize", "--model", &model, "--json", &ids.join(",")]);
    for more in [&["--top", "97"][..], &["--all", "--json"]] {
        report(
            &[
                &[
                    "logits", "--model", &model, "--device", "cpu", "--prompt", "why",
                ][..],
                more,
            ]
            .concat(),
        );
    }
    for more in [&[][..], &["--json"]] {
        report(
            &[
                &["tokenize", "--model", &model][..],
                more,
                &["why\u{1b}[31m"],
            ]
            .concat(),
        );
    }
    let response = place.write(&format!("response{HOSTILE}"), "because");
    for more in [&[][..], &["--json"]] {
        let args = [
            "score",
            "--model",
            &model,
            "--device",
            "cpu",
            "--prefer",
            "brief",
            "--response",
            &response,
            "why?",
        ];
        report(&[&args[..], more].concat());
    }
    let bench = [
        "bench",
        "--model",
        &model,
        "--device",
        "cpu",
        "--method",
        "base",
        "--rows",
        "1",
        "--context",
        "16",
        "--steps",
        "1",
    ];
    report(&bench);
}

#[test]
fn a_models_faults_are_said_harmlessly() {
    let place = Place::new();
    let texts = [HOSTILE, FORGED];
    for text in texts {
        let raise = |what: &str| Meta::String(format!("{{{{ {what} }}}}"));
        let quoted = text.replace('\n', "\\n");
        let changes: Vec<(&str, Meta, i32)> = vec![
            (
                "tokenizer.chat_template",
                raise(&format!("raise_exception('{quoted}')")),
                3,
            ),
            (
                "tokenizer.chat_template",
                raise(&format!("messages | first('{quoted}').x.y")),
                3,
            ),
            (
                "tokenizer.chat_template",
                Meta::String(format!("{{% {text} %}}")),
                3,
            ),
            (
                "tokenizer.chat_template",
                raise(&format!("x['{quoted}']()")),
                3,
            ),
            ("general.architecture", Meta::String(text.to_owned()), 3),
            ("tokenizer.ggml.model", Meta::String(text.to_owned()), 3),
            ("tokenizer.ggml.pre", Meta::String(text.to_owned()), 3),
        ];
        for (key, value, code) in changes {
            let model = place.model("m.gguf", |tiny| tiny.set(key, value));
            refused(
                &[
                    "generate", "--model", &model, "--device", "cpu", "-n", "1", "hi",
                ],
                code,
                &[],
            );
            report(&["models", "inspect", &model]);
            report(&["models", "inspect", &model, "--json"]);
        }
        let model = place.model("m.gguf", |tiny| {
            tiny.tensors.push((text.to_owned(), vec![64, 64]))
        });
        run(&[
            "generate", "--model", &model, "--device", "cpu", "-n", "1", "hi",
        ]);
        let model = place.model("m.gguf", |tiny| tiny.tensors[0].0 = text.to_owned());
        refused(
            &[
                "generate", "--model", &model, "--device", "cpu", "-n", "1", "hi",
            ],
            3,
            &[],
        );
        // A hub folder.
        let folder = place.path(&format!("hub{text}"));
        fs::create_dir_all(&folder).unwrap();
        let folder = folder.to_str().unwrap();
        for config in [
            json!({ "architectures": [text], "model_type": text }).to_string(),
            json!({ text: 1 }).to_string(),
            format!("{{ \"{text}\": "),
            text.to_owned(),
        ] {
            fs::write(Path::new(folder).join("config.json"), config).unwrap();
            refused(
                &["generate", "--model", folder, "--device", "cpu", "hi"],
                3,
                &[],
            );
            refused(
                &["models", "convert", folder, &place.text("out.gguf")],
                3,
                &[],
            );
        }
    }
}

#[test]
fn names_and_arguments_are_said_harmlessly() {
    let place = Place::new();
    for text in [HOSTILE, FORGED] {
        let file = place.write(text, "no model");
        let missing = place.text(&format!("missing{text}.gguf"));
        let model = place.model(&format!("good{text}.gguf"), |_| {});
        let bad = place.write(&format!("bad{text}.json"), format!("{{\"{text}\": [1, "));
        for args in [
            &["generate", "--model", &file, "hi"][..],
            &["generate", "--model", &missing, "hi"],
            &["models", "inspect", &file],
            &["models", "inspect", text],
            &["models", "path", text],
            &["models", "verify", text],
            &["models", "rm", text],
            &["models", "pull", text],
            &["models", "convert", &file, &place.text("out.gguf")],
            &[
                "models",
                "convert",
                &model,
                &place.text(&format!("no{text}/out.gguf")),
            ],
            &["models", "convert", &model, &model],
            &["generate", "--method", text, "hi"],
            &["generate", &format!("--{text}"), "hi"],
            &[text],
            &["generate", "--history", text, "hi"],
            &["generate", "--model", &model, "--stream", text, "hi"],
            &["generate", "--model", &model, "--stream-model", text, "hi"],
            &["generate", "--date", text, "hi"],
            &["generate", "--memory", text, "hi"],
            &[
                "generate",
                "--model",
                &model,
                "--device",
                "cpu",
                "--trace",
                &format!("{file}/x"),
                "hi",
            ],
            &[
                "eval",
                "--model",
                &model,
                "--dataset",
                &bad,
                "-o",
                &place.text("eval"),
            ],
            &[
                "eval",
                "--model",
                &model,
                "--dataset",
                &missing,
                "-o",
                &place.text("eval"),
            ],
            &[
                "eval",
                "--model",
                &model,
                "--prefer",
                "x",
                "--dataset",
                &bad,
                "-o",
                &file,
            ],
            &["tpo", "--dataset", &bad, "--record", &place.text("r")],
            &["tpo", "--reward", text, "hi"],
            &["tpo", "--prompts", text, "hi"],
            &["tpo", "--model", &model, "--record", &bad, "hi"],
            &["tpo", "report", &bad, "--json"],
            &["trace", "show", &bad],
            &["trace", "show", &missing],
            &["trace", "html", &bad, "-o", &place.text("page.html")],
            &["amulet-update", &bad],
            &["amulet-update", &missing],
            &[
                "score",
                "--model",
                &model,
                "--prefer",
                "x",
                "--response",
                &missing,
                "hi",
            ],
            &["detokenize", "--model", &model, text],
            &["logits", "--ids", text],
            &["serve", "--page", text],
            &["serve", "--port", text],
            &["serve", "--model", &missing],
        ] {
            let output = report(args);
            assert!(!output.status.success(), "{args:?}");
            let said = stderr(&output);
            let is_clap = said.starts_with("error:");
            assert!(
                is_clap || !said.contains("\nperiapt: all is well"),
                "{args:?}: {said}"
            );
        }
        // A path is data, too.
        let output = run(&["models", "pull", &model]);
        assert_eq!(output.stdout, format!("{model}\n").as_bytes());
        if let Some(seen) = on_a_terminal(&["models", "pull", &model]) {
            assert_eq!(
                orders(
                    String::from_utf8(seen)
                        .unwrap()
                        .replace("\r\n", "\n")
                        .as_bytes()
                ),
                None
            );
        }
        report(&[
            "models",
            "convert",
            "--force",
            &model,
            &place.text(&format!("out{text}.gguf")),
        ]);
        report(&[
            "generate", "--model", &model, "--device", "cpu", "-n", "1", "--json", "hi",
        ]);
        // The environment.
        let store = place.path(&format!("store{text}"));
        for (name, value, args) in [
            (
                "PERIAPT_MODELS",
                store.to_str().unwrap(),
                &["models", "list"][..],
            ),
            (
                "PERIAPT_MODELS",
                store.to_str().unwrap(),
                &["models", "path"],
            ),
            ("PERIAPT_MODELS", store.to_str().unwrap(), &["doctor"]),
            (
                "PERIAPT_MEMORY",
                text,
                &[
                    "generate", "--model", &model, "--device", "cpu", "-n", "1", "hi",
                ],
            ),
            ("HF_ENDPOINT", text, &["models", "pull", "a/b"]),
            ("PERIAPT_LOG", text, &["models", "list"]),
        ] {
            let output = checked(args, command(args).env(name, value));
            assert_eq!(orders(&output.stdout), None, "{name}");
        }
        fs::create_dir_all(&store).unwrap();
        fs::write(store.join("mine\u{202e}.gguf"), "x").unwrap();
        let args = ["models", "list"];
        let output = checked(&args, command(&args).env("PERIAPT_MODELS", &store));
        assert_eq!(orders(&output.stdout), None);
    }
}

fn hostile_device(text: &str) -> Value {
    json!({ "kind": "gpu", "name": text, "backend": text, "software": false, "driver": text })
}

/// A trace's lines, every text of them hostile.
fn hostile_trace(text: &str) -> String {
    let top = json!([{ "id": 1, "piece": text, "log_prob": -0.5 }]);
    let header = json!({
        "type": "header", "format": 1, "periapt": text,
        "model": { "name": text, "path": text, "sha256": text },
        "template_sha256": text, "device": hostile_device(text), "kv": "f16", "date": "2026-03-07", "system": text,
        "preference": text, "earlier": [{ "role": "user", "content": text }], "question": text, "method": "amulet",
        "strength": 1.0, "amulet": { "alpha": 2.0, "lambda": 2.0, "eta": 10.0, "iterations": 60 },
        "streams": [{ "name": text, "system": text, "preference": text, "weight": 1.0, "model": 0 }],
        "sampling": { "seed": 1 }, "max_new_tokens": 5, "generation_prompt": true, "paper_compat": true,
    });
    let token = |index: usize, log_prob: f64| {
        json!({
            "type": "token", "index": index, "text": text, "id": 1, "piece": text,
            "log_prob": { text: -1.0, "final": log_prob }, "k": 1.0, "kl": 0.1, "entropy": 0.2,
            "top": { text: top, "final": top }, "runner_up": { "id": 2, "piece": text, "log_prob": -1.0 },
            "iterates": [{ "i": 0, "k": 0.0, "chosen": -1.0, "runner_up": -2.0 }],
        })
    };
    let end = json!({ "type": "end", "finish_reason": "stop", "text": text });
    let lines = [header, token(0, -0.1), token(1, -9.0), end];
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// A record's lines, every text of them hostile.
fn hostile_record(text: &str) -> String {
    let options = json!({
        "mode": "tpo", "samples": 2, "rounds": 1, "text_top_p": 0.99, "max_new_tokens": 12,
        "sampling": {
            "temperature": 1.0, "top_k": 0, "top_p": 0.95, "min_p": 0.0, "repetition_penalty": 1.0,
            "frequency_penalty": 0.0, "presence_penalty": 0.0, "plausibility": 0.0, "kl_budget": null, "seed": 7,
        },
    });
    let header = json!({
        "type": "header", "format": 1, "periapt": text, "model": { "name": text, "sha256": text },
        "device": hostile_device(text), "kv": "f16", "reward": text, "reward_model": { "name": text }, "preference": text,
        "method": "base", "system": text, "date": "2026-03-07", "prompts": [text, text], "options": options,
    });
    let bon = json!({
        "mode": "bon", "samples": 6, "rounds": 1, "text_top_p": 0.99, "max_new_tokens": 12, "sampling": options["sampling"],
    });
    let shortened = json!([{ "part": text, "from": 9, "to": 5 }]);
    let start = |options: &Value| json!({ "type": "run", "query": text, "preference": text, "options": options, "reward": text, "prompts": text });
    let candidate = |round: usize, index: usize, more: &str| json!({ "type": "candidate", "round": round, "index": index, "text": format!("{text} {more}"), "tokens": 3, "finish_reason": "stop" });
    let words = |prompt: &str| json!({ "type": "text", "round": 1, "prompt": prompt, "input": [text, text], "text": text, "tokens": 4, "finish_reason": "length", "shortened": shortened });
    let run = [
        start(&options),
        candidate(0, 1, "a"),
        candidate(0, 0, "b"),
        json!({ "type": "scores", "round": 0, "rewards": [[0, 0.5], [1, 1.5]], "duplicates": [],
            "cut": [{ "response": 1, "reward": text, "from": 9, "to": 4 }], "best": 1, "worst": 0 }),
        words("compare"),
        words("feedback"),
        json!({ "type": "update", "round": 1, "input": [text, text], "shortened": shortened }),
        candidate(1, 0, "a"),
        json!({ "type": "dropped", "round": 1, "index": 1, "tokens": 2, "reason": text }),
        json!({ "type": "scores", "round": 1, "rewards": [[2, 1.5]], "duplicates": [[2, 1]], "best": 1, "worst": 0 }),
        json!({ "type": "end", "best": 1, "reward": 1.5, "generations": 6, "tokens": 17 }),
    ];
    let mut baseline = vec![start(&bon)];
    baseline.extend((0..6).map(|index| candidate(0, index, &index.to_string())));
    let rewards: Vec<Value> = (0..6).map(|number| json!([number, number])).collect();
    baseline.push(json!({ "type": "scores", "round": 0, "rewards": rewards, "duplicates": [], "best": 5, "worst": 0 }));
    baseline
        .push(json!({ "type": "end", "best": 5, "reward": 5.0, "generations": 6, "tokens": 18 }));
    let own = |part: &'static str| {
        move |line: Value| {
            let mut line = line;
            line["item"] = 0.into();
            line["part"] = part.into();
            line["ms"] = 1.0.into();
            format!("{line}\n")
        }
    };
    let lines = std::iter::once(format!("{header}\n"));
    let lines = lines.chain(run.into_iter().map(own("run")));
    lines
        .chain(baseline.into_iter().map(own("baseline")))
        .collect()
}

/// Markup that would run, or leave its place.
const MARKUP: &str = "</script><script>alert(1)</script><!--<img src=x onerror=alert(1)>\"' onload=x \u{2028}&lt;{{ 7*7 }}{% raw %}]]></pre></title></svg><svg/onload=alert(1)>";

#[test]
fn traces_and_records_are_shown_harmlessly() {
    let place = Place::new();
    let markup = format!("{HOSTILE}{FORGED}{MARKUP}");
    for text in [HOSTILE, FORGED, &markup] {
        let trace = place.write("trace.jsonl", hostile_trace(text));
        let record = place.write("record.jsonl", hostile_record(text));
        let page = place.text("page.html");
        for args in [
            &["trace", "show", &trace][..],
            &["trace", "html", &trace, "-o", "/dev/stdout"],
            &["trace", "html", &trace, "-o", &page],
            &["tpo", "report", &record, "--json"],
            &["tpo", "report", &record, "-o", "/dev/stdout"],
            &["tpo", "report", &record, "-o", &page],
        ] {
            let output = report(args);
            assert!(output.status.success(), "{args:?}: {}", stderr(&output));
            if args.contains(&page.as_str()) {
                let html = fs::read(&page).unwrap();
                assert_eq!(orders(&html), None, "{args:?}");
                let html = String::from_utf8(html).unwrap();
                for markup in [
                    "<script",
                    "<img",
                    "<!--",
                    "<svg/",
                    "onload=alert(1)>",
                    "\u{2028}",
                ] {
                    assert!(!html.contains(markup), "{args:?}: {markup}");
                }
                // No attribute is left, and no element closed.
                assert!(
                    !html.contains("\"' onload") && !html.contains("]]></pre>"),
                    "{args:?}"
                );
            }
        }
        if let Some(seen) = on_a_terminal(&["trace", "show", &trace]) {
            let seen = String::from_utf8(seen).unwrap().replace("\r\n", "\n");
            assert_eq!(orders(seen.as_bytes()), None);
        }
    }
}

/// Changes a value somewhere, by a number; the same number changes the same.
fn damage(lines: &mut Vec<String>, mut dice: impl FnMut(usize) -> usize) {
    let at = dice(lines.len());
    match dice(8) {
        0 => drop(lines.remove(at)),
        1 => lines.insert(dice(lines.len()), lines[at].clone()),
        2 => {
            let other = dice(lines.len());
            lines.swap(at, other);
        }
        3 => {
            let mut to = dice(lines[at].len());
            while !lines[at].is_char_boundary(to) {
                to -= 1;
            }
            lines[at].truncate(to);
        }
        _ => {
            let mut line: Value = serde_json::from_str(&lines[at]).unwrap();
            let place = dice(200);
            change(&mut line, &mut { place }, &mut dice);
            lines[at] = line.to_string();
        }
    }
}

fn change(value: &mut Value, place: &mut usize, dice: &mut impl FnMut(usize) -> usize) {
    if *place == 0 {
        *value = match dice(16) {
            0 => Value::Null,
            1 => json!(-1),
            2 => json!(u64::MAX),
            3 => json!(1e308),
            4 => json!(0),
            5 => json!(2.5),
            6 => json!("text"),
            7 => json!([]),
            8 => json!({}),
            9 => json!(true),
            10 => json!(i64::MIN),
            11 => json!(64),
            12 => json!([[0, 0]]),
            13 => json!([[9999, 1e300]]),
            14 => json!(u32::MAX),
            _ => json!({ "unknown": 1 }),
        };
        *place = usize::MAX;
        return;
    }
    *place -= 1;
    let children: Vec<&mut Value> = match value {
        Value::Array(list) => {
            if dice(40) == 0 && !list.is_empty() {
                list.pop();
            }
            list.iter_mut().collect()
        }
        Value::Object(map) => {
            if dice(40) == 0 {
                let key = map.keys().nth(dice(map.len().max(1))).cloned();
                key.map(|key| map.remove(&key));
            }
            map.values_mut().collect()
        }
        _ => return,
    };
    for child in children {
        if *place == usize::MAX {
            return;
        }
        change(child, place, dice);
    }
}

/// A generator of numbers below a bound: PCG's step, the same everywhere.
fn dice(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move |below| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below.max(1)
    }
}

fn damaged(whole: &str, seed: u64) -> String {
    let mut dice = dice(seed);
    let mut lines: Vec<String> = whole.lines().map(str::to_owned).collect();
    for _ in 0..=dice(3) {
        let is_whole = |line: &String| serde_json::from_str::<Value>(line).is_ok();
        if lines.is_empty() || !lines.iter().all(is_whole) {
            break;
        }
        damage(&mut lines, &mut dice);
    }
    let end = if dice(4) == 0 { "" } else { "\n" };
    lines.join("\n") + end
}

/// 1,200 damaged files through the binary's own commands: refused with a documented code, or shown; no panic, and what
/// cannot be read is left as it is.
#[test]
fn damaged_traces_and_records_are_refused_or_shown() {
    let place = Place::new();
    let recorded =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../www/public/recorded/concise.jsonl");
    let recorded: String = fs::read_to_string(recorded)
        .unwrap()
        .lines()
        .take(5)
        .map(|line| format!("{line}\n"))
        .collect();
    let (trace, record) = (hostile_trace("t"), hostile_record("t"));
    let page = place.text("page.html");
    let (mut refusals, mut views) = (0, 0);
    for seed in 0..600 {
        let source = if seed % 2 == 0 { &trace } else { &recorded };
        let trace = place.write("t.jsonl", damaged(source, seed));
        let record = place.write("r.jsonl", damaged(&record, seed));
        let view: [&[&str]; 2] = match seed % 2 {
            0 => [
                &["trace", "show", &trace],
                &["tpo", "report", &record, "--json"],
            ],
            _ => [
                &["trace", "html", &trace, "-o", &page],
                &["tpo", "report", &record, "-o", &page],
            ],
        };
        for args in view {
            let output = report(args);
            match output.status.code() {
                Some(0) => views += 1,
                Some(1 | 2) => {
                    refusals += 1;
                    let said = stderr(&output);
                    assert!(
                        said.starts_with("periapt: ") && said.ends_with('\n'),
                        "{said}"
                    );
                }
                code => panic!("seed {seed}, {args:?}: {code:?} {}", stderr(&output)),
            }
        }
    }
    assert!(
        refusals > 600 && views > 100,
        "{refusals} refused, {views} shown"
    );
}

/// Damaged records and answers that a run takes up.
#[test]
fn damaged_files_are_not_taken_up() {
    let place = Place::new();
    let model = place.model("m.gguf", |_| {});
    let questions = place.write("q.json", r#"["why?"]"#);
    let record = place.text("whole.jsonl");
    let tpo = |record: &str| -> Vec<String> {
        let args = [
            "tpo",
            "--model",
            &model,
            "--device",
            "cpu",
            "-n",
            "6",
            "--samples",
            "2",
            "--rounds",
            "1",
        ];
        let more = [
            "--temperature",
            "1",
            "--prefer",
            "brief",
            "--record",
            record,
            "why?",
        ];
        args.iter()
            .chain(&more)
            .map(|arg| (*arg).to_owned())
            .collect()
    };
    let folder = place.text("eval");
    let eval: Vec<String> = [
        "eval",
        "--model",
        &model,
        "--device",
        "cpu",
        "-n",
        "4",
        "--prefer",
        "brief",
        "--method",
        "base",
        "--dataset",
        &questions,
        "-o",
        &folder,
    ]
    .map(str::to_owned)
    .to_vec();
    let output = run(&tpo(&record));
    assert!(output.status.success(), "{}", stderr(&output));
    let output = run(&eval);
    assert!(output.status.success(), "{}", stderr(&output));
    let whole = fs::read_to_string(&record).unwrap();
    let answers = place.path("eval/answers.jsonl");
    let rows = fs::read_to_string(&answers).unwrap();
    for seed in 0..60 {
        let damaged_record = damaged(&whole, seed);
        let path = place.write("r.jsonl", &damaged_record);
        let output = run(&tpo(&path));
        let code = output.status.code();
        assert!(
            matches!(code, Some(0 | 2)),
            "seed {seed}: {code:?} {}",
            stderr(&output)
        );
        if code == Some(2) {
            assert_eq!(
                fs::read_to_string(&path).unwrap(),
                damaged_record,
                "seed {seed}"
            );
        }
        let damaged_rows = damaged(&rows, seed);
        fs::write(&answers, &damaged_rows).unwrap();
        let output = run(&eval);
        let code = output.status.code();
        assert!(
            matches!(code, Some(0..=2)),
            "seed {seed}: {code:?} {}",
            stderr(&output)
        );
        if code != Some(0) {
            assert_eq!(
                fs::read_to_string(&answers).unwrap(),
                damaged_rows,
                "seed {seed}"
            );
        }
    }
    // What is somebody's file and no record is refused and stays, however it ends.
    for text in [
        "[\"my questions\"]",
        "notes\nmore notes",
        "{\"a\": 1}\n",
        "\u{0}\u{1}",
        "{\"type\":\"run\"}\n",
    ] {
        let path = place.write("mine", text);
        refused(&tpo(&path), 2, &["--record"]);
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    // Rows that would be written outside of the folder.
    let mut row: Value = serde_json::from_str(rows.lines().next().unwrap()).unwrap();
    row["dataset"] = "../../escaped".into();
    fs::write(&answers, format!("{row}\n")).unwrap();
    refused(&eval, 1, &["no part of a file's name"]);
    assert!(!place.path("escaped.base.json").exists());
}

#[test]
fn no_output_is_written_over_its_own_input() {
    let place = Place::new();
    let model = place.model("m.gguf", |_| {});
    let trace = place.write("t.jsonl", hostile_trace("t"));
    let record = place.write("r.jsonl", hostile_record("t"));
    let questions = place.write("q.json", r#"["why?"]"#);
    fs::create_dir(place.path("below")).unwrap();
    for input in [&model, &trace, &record, &questions] {
        let before = fs::read(input).unwrap();
        let name = Path::new(input).file_name().unwrap().to_str().unwrap();
        let (soft, hard, twice) = (place.path("soft"), place.path("hard"), place.path("twice"));
        for path in [&soft, &hard, &twice] {
            let _ = fs::remove_file(path);
        }
        symlink(name, &soft).unwrap();
        symlink("soft", &twice).unwrap();
        fs::hard_link(input, &hard).unwrap();
        let around = place.text(&format!("below/../{name}"));
        for output in [
            input.as_str(),
            soft.to_str().unwrap(),
            hard.to_str().unwrap(),
            twice.to_str().unwrap(),
            &around,
        ] {
            let args: &[&str] = match name {
                "m.gguf" => &["models", "convert", "--force", input, output],
                "t.jsonl" => &["trace", "html", input, "-o", output],
                "r.jsonl" => &["tpo", "report", input, "-o", output],
                _ => &[
                    "tpo",
                    "--model",
                    &model,
                    "--dataset",
                    input,
                    "--record",
                    output,
                ],
            };
            refused(args, 2, &["which is read here"]);
            assert_eq!(fs::read(input).unwrap(), before, "{args:?}");
        }
    }
    // A dataset that is one of the run's own files.
    fs::create_dir_all(place.path("eval/responses")).unwrap();
    for name in ["summary.json", "frontier.svg", "responses/base.base.json"] {
        let dataset = place.write(&format!("eval/{name}"), r#"["why?"]"#);
        let link = place.path("eval/responses/base.json");
        let _ = fs::remove_file(&link);
        // A dataset is called as its file is.
        fs::hard_link(&dataset, &link).unwrap();
        let link = link.to_str().unwrap();
        let args = [
            "eval",
            "--model",
            &model,
            "--method",
            "base",
            "--prefer",
            "x",
            "--dataset",
            link,
            "-o",
            &place.text("eval"),
        ];
        refused(&args, 2, &["which is read here"]);
        assert_eq!(fs::read_to_string(&dataset).unwrap(), r#"["why?"]"#);
        fs::remove_file(dataset).unwrap();
    }
}

#[test]
fn devices_pipes_and_links_stay_what_they_are() {
    let place = Place::new();
    let model = place.model("m.gguf", |_| {});
    let trace = place.write("t.jsonl", hostile_trace("t"));
    let record = place.write("r.jsonl", hostile_record("t"));
    let outputs = |path: &str| -> Vec<Vec<String>> {
        [
            &["models", "convert", "--force", &model, path][..],
            &["trace", "html", &trace, "-o", path],
            &["tpo", "report", &record, "-o", path],
        ]
        .iter()
        .map(|args| args.iter().map(|arg| (*arg).to_owned()).collect())
        .collect()
    };
    let words = |args: &[String]| {
        args.iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let run_all = |path: &str, code: i32| {
        for args in outputs(path) {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let output = report(&args);
            assert_eq!(
                output.status.code(),
                Some(code),
                "{args:?}: {}",
                stderr(&output)
            );
        }
    };
    run_all("/dev/null", 0);
    assert!(
        fs::metadata("/dev/null")
            .unwrap()
            .file_type()
            .is_char_device()
    );
    // Full: an error with the file's name, and no success.
    for args in outputs("/dev/full") {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        refused(&args, 3, &["/dev/full", "No space left"]);
    }
    symlink("/dev/null", place.path("null")).unwrap();
    run_all(&place.text("null"), 0);
    assert!(place.path("null").is_symlink());
    let node = place.text("node");
    let made = Command::new("mknod").args([&node, "c", "1", "3"]).status();
    if made.is_ok_and(|status| status.success())
        && fs::OpenOptions::new().write(true).open(&node).is_ok()
    {
        run_all(&node, 0);
        assert!(fs::metadata(&node).unwrap().file_type().is_char_device());
        fs::remove_file(&node).unwrap();
    }
    // A pipe is written through, and is a pipe afterwards.
    let pipe = place.text("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    for args in outputs(&pipe) {
        let from = pipe.clone();
        let reader = std::thread::spawn(move || fs::read(from).unwrap());
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        assert!(report(&args).status.success(), "{args:?}");
        assert!(reader.join().unwrap().len() > 1000, "{args:?}");
        assert!(
            fs::metadata(&pipe).unwrap().file_type().is_fifo(),
            "{args:?}"
        );
    }
    let socket = place.path("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    run_all(socket.to_str().unwrap(), 2);
    assert!(fs::metadata(&socket).unwrap().file_type().is_socket());
    fs::create_dir(place.path("folder")).unwrap();
    run_all(&place.text("folder"), 2);
    run_all(&place.text("folder/"), 2);
    run_all(&place.text("nowhere/x"), 2);
    // Standard output, a process's substitution, and what is appended.
    let shell = |line: &str| {
        let line = line.replace("periapt", env!("CARGO_BIN_EXE_periapt"));
        let output = Command::new("bash")
            .current_dir(place.path(""))
            .args(["-c", &line])
            .output()
            .unwrap();
        assert!(output.status.success(), "{line}: {}", stderr(&output));
        output.stdout
    };
    for args in outputs("/dev/stdout") {
        let line = format!("periapt {}", words(&args));
        let piped = shell(&format!("{line} | cat"));
        shell(&format!("{line} > file"));
        assert_eq!(fs::read(place.path("file")).unwrap(), piped, "{line}");
        shell(&format!("printf begin > file; {line} >> file"));
        assert_eq!(
            fs::read(place.path("file")).unwrap(),
            [&b"begin"[..], &piped].concat(),
            "{line}"
        );
        let line = line.replace("/dev/stdout", ">(cat > through; echo > done)");
        shell(&format!(
            "rm -f done through; {line}; while ! test -e done; do :; done"
        ));
        assert_eq!(fs::read(place.path("through")).unwrap(), piped, "{line}");
    }
    // A link is written through, its file's permissions stay, and nothing else is left.
    fs::write(place.path("real"), "x").unwrap();
    fs::set_permissions(place.path("real"), fs::Permissions::from_mode(0o604)).unwrap();
    symlink("real", place.path("link")).unwrap();
    run_all(&place.text("link"), 0);
    assert!(place.path("link").is_symlink());
    let about = fs::metadata(place.path("real")).unwrap();
    assert!(about.mode() & 0o777 == 0o604 && about.len() > 1000);
    assert!(
        place.names().iter().all(|name| !name.starts_with('.')),
        "{:?}",
        place.names()
    );
}

#[test]
fn a_place_that_cannot_be_is_said_before_anything_is_computed() {
    let place = Place::new();
    let questions = place.write("q.json", r#"["why?"]"#);
    let nowhere = place.text("nowhere/out");
    // The model is not there either: that would be said if it were looked for first.
    for args in [
        &["models", "convert", "/nowhere.gguf", &nowhere][..],
        &[
            "generate",
            "--model",
            "/nowhere.gguf",
            "--trace",
            &nowhere,
            "hi",
        ],
        &[
            "tpo",
            "--model",
            "/nowhere.gguf",
            "--record",
            &nowhere,
            "--dataset",
            &questions,
        ],
    ] {
        refused(args, 2, &["nowhere/out"]);
    }
    // And what fails afterwards leaves nothing behind.
    let before = place.names();
    for args in [
        &["models", "convert", "/nowhere.gguf", &place.text("out")][..],
        &[
            "generate",
            "--model",
            "/nowhere.gguf",
            "--trace",
            &place.text("out"),
            "hi",
        ],
        &[
            "tpo",
            "--model",
            "/nowhere.gguf",
            "--record",
            &place.text("out"),
            "hi",
        ],
    ] {
        refused(args, 3, &["no such file"]);
        assert_eq!(place.names(), before, "{args:?}");
    }
    let cut = place.model("cut.gguf", |_| {});
    let bytes = fs::read(&cut).unwrap();
    fs::write(&cut, &bytes[..bytes.len() - 1]).unwrap();
    let before = place.names();
    refused(
        &["models", "convert", &cut, &place.text("out")],
        3,
        &["cut.gguf"],
    );
    assert_eq!(place.names(), before);
}

/// A signal while the output is under way: what was there is there, and nothing else. The input is a pipe to which nobody
/// writes, so that the program waits in the middle.
#[test]
fn a_signal_leaves_nothing_half_written() {
    let place = Place::new();
    let (trace, record) = (
        place.write("t.jsonl", hostile_trace("t")),
        place.write("r.jsonl", hostile_record("t")),
    );
    for (signal, number) in [("INT", 2), ("TERM", 15), ("HUP", 1), ("KILL", 9)] {
        for (whole, before, after) in [
            (&trace, ["trace", "html"], "-o"),
            (&record, ["tpo", "report"], "-o"),
        ] {
            let out = place.write("out.html", "mine");
            let pipe = place.text("pipe");
            assert!(
                Command::new("mkfifo")
                    .arg(&pipe)
                    .status()
                    .unwrap()
                    .success()
            );
            let _held = fs::OpenOptions::new()
                .read(true)
                .write(true)
                .open(&pipe)
                .unwrap();
            let call = |input: &str| command(&[before[0], before[1], input, after, &out]);
            // Under nohup, or in the background of a script, some signals are ignored, and a child inherits that.
            let ready = call(&pipe);
            let mut child = Command::new("env")
                .arg("--default-signal=HUP,INT,TERM")
                .arg(ready.get_program())
                .args(ready.get_args())
                .envs(
                    ready
                        .get_envs()
                        .filter_map(|(name, value)| Some((name, value?))),
                )
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let begun = || {
                place
                    .names()
                    .iter()
                    .any(|name| name.starts_with(".periapt-"))
            };
            while !begun() {
                assert!(child.try_wait().unwrap().is_none(), "it ended");
                std::thread::yield_now();
            }
            // Its signals are waited for from then on, when it waits for its input.
            let waits = || {
                let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
                let caught = status
                    .lines()
                    .find_map(|line| line.strip_prefix("SigCgt:"))
                    .unwrap();
                u64::from_str_radix(caught.trim(), 16).unwrap() & (1 << 14) != 0
            };
            while !waits() {
                std::thread::yield_now();
            }
            let pid = child.id().to_string();
            assert!(
                Command::new("kill")
                    .args([&format!("-{signal}"), &pid])
                    .status()
                    .unwrap()
                    .success()
            );
            let status = child.wait().unwrap();
            assert_eq!(
                std::os::unix::process::ExitStatusExt::signal(&status),
                Some(number),
                "{status}"
            );
            assert_eq!(begun(), signal == "KILL", "{signal}: {:?}", place.names());
            assert_eq!(fs::read_to_string(&out).unwrap(), "mine");
            // What a killed process left is swept by the next.
            let output = call(whole).output().unwrap();
            assert!(output.status.success(), "{}", stderr(&output));
            assert!(!begun(), "{:?}", place.names());
            fs::remove_file(&pipe).unwrap();
        }
    }
    // A signal that is ignored, as by `nohup`, stays so.
    let out = place.text("out.html");
    let pipe = place.text("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let line = "trap '' HUP; \"$0\" trace html \"$1\" -o \"$2\" & pid=$!; \
                while ! grep -q 'SigCgt:.*[4567cdef]...$' /proc/$pid/status; do :; done; \
                kill -HUP $pid; timeout 60 cat \"$3\" > \"$1\"; wait $pid";
    let status = Command::new("bash")
        .args([
            "-c",
            line,
            env!("CARGO_BIN_EXE_periapt"),
            &pipe,
            &out,
            &trace,
        ])
        .status();
    assert!(status.unwrap().success());
    assert!(
        fs::read_to_string(&out)
            .unwrap()
            .starts_with("<!doctype html>")
    );
}

/// A disk that is full, as a limit on the size of files: what was there stays, and nothing half written.
#[test]
fn a_file_that_may_not_grow_is_an_error() {
    let place = Place::new();
    let model = place.model("m.gguf", |_| {});
    let trace = place.write("t.jsonl", hostile_trace("t"));
    let record = place.write("r.jsonl", hostile_record("t"));
    let out = place.write("out", "mine");
    let before = place.names();
    for args in [
        &["models", "convert", "--force", &model, &out][..],
        &["trace", "html", &trace, "-o", &out],
        &["tpo", "report", &record, "-o", &out],
    ] {
        let line = "ulimit -f 2; exec \"$0\" \"$@\"";
        let mut bash = Command::new("bash");
        let output = bash
            .args(["-c", line, env!("CARGO_BIN_EXE_periapt")])
            .args(args)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(3), "{args:?}: {output:?}");
        assert!(
            stderr(&output).contains("cannot"),
            "{args:?}: {}",
            stderr(&output)
        );
        assert_eq!(
            (place.names(), fs::read_to_string(&out).unwrap()),
            (before.clone(), "mine".to_owned())
        );
    }
}

#[test]
fn closed_and_full_streams_change_no_result() {
    let place = Place::new();
    let model = place.model("m.gguf", |_| {});
    let trace = place.write("t.jsonl", hostile_trace("t"));
    let full = || {
        fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap()
    };
    let generate = [
        "generate",
        "--model",
        &model,
        "--device",
        "cpu",
        "-n",
        "4",
        "--temperature",
        "1",
    ];
    let paper = [&generate[..7], &["--paper-compat", "why?"]].concat();
    let tpo = [
        "tpo",
        "--model",
        &model,
        "--device",
        "cpu",
        "-n",
        "4",
        "--samples",
        "2",
        "--rounds",
        "0",
        "--prefer",
        "x",
        "why?",
    ];
    // Those that say something on standard error, with their codes.
    for (args, code) in [
        (&paper[..], 0),
        (&tpo, 0),
        (&["models", "path", "nothing.gguf"], 3),
        (&["generate", "--method", "magic", "x"], 2),
        (&["trace", "show", "/nowhere"], 1),
        (&["--help"], 0),
    ] {
        let expected = run(args);
        assert_eq!(
            expected.status.code(),
            Some(code),
            "{args:?}: {}",
            stderr(&expected)
        );
        let with = |stderr: Stdio| {
            command(args)
                .stdout(Stdio::piped())
                .stderr(stderr)
                .output()
                .unwrap()
        };
        let outputs = [
            with(full().into()),
            with(closed().into()),
            shell(args, "2>&-"),
        ];
        for output in outputs {
            assert_eq!(output.status.code(), Some(code), "{args:?}");
            assert_eq!(output.stdout, expected.stdout, "{args:?}");
        }
        // PERIAPT_LOG writes there, too.
        let mut logged = command(args);
        let output = logged
            .env("PERIAPT_LOG", "trace")
            .stderr(full())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}");
    }
    // Standard output that is full is an error that says so; one that hangs up is none.
    let ask = [&generate[..], &["why?"]].concat();
    let json = [&generate[..], &["--json", "why?"]].concat();
    for args in [
        &ask[..],
        &json,
        &["models", "inspect", &model],
        &["models", "inspect", "--json", &model],
        &["models", "inspect", "--template", &model],
        &["models", "list"],
        &["models", "pull", &model],
        &["trace", "show", &trace],
        &["tokenize", "--model", &model, "why"],
        &["detokenize", "--model", &model, "5,6"],
        &[
            "logits", "--model", &model, "--device", "cpu", "--all", "--prompt", "why",
        ],
        &["--help"],
        &["--version"],
    ] {
        let output = checked(args, command(args).stdout(full()));
        assert_eq!(
            output.status.code(),
            Some(1),
            "{args:?}: {}",
            stderr(&output)
        );
        assert!(
            stderr(&output).contains("standard output: No space left"),
            "{args:?}: {}",
            stderr(&output)
        );
        let output = checked(args, command(args).stdout(closed()));
        assert_eq!(
            (output.status.code(), stderr(&output).as_str()),
            (Some(0), ""),
            "{args:?}"
        );
        assert!(shell(args, ">&-").status.success(), "{args:?}");
        assert!(shell(args, "<&-").status.success(), "{args:?}");
    }
    // A closed standard input is an empty one.
    let output = shell(&[&generate[..], &["-"]].concat(), "<&-");
    assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
}

/// A pipe whose reader is gone.
fn closed() -> std::io::PipeWriter {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer
}

/// Runs it from a shell, with a redirection.
fn shell(args: &[&str], redirection: &str) -> Output {
    let line = format!("exec \"$0\" \"$@\" {redirection}");
    let mut bash = Command::new("bash");
    bash.args(["-c", &line, env!("CARGO_BIN_EXE_periapt")])
        .args(args);
    bash.output().unwrap()
}

/// A hub that answers nothing useful: what is logged and said on the way holds neither token nor password.
#[test]
fn no_secret_is_logged_or_said() {
    let store = TempDir::new().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            let _ = stream.read(&mut head);
            let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nset-cookie: session=cookie-secret-1\r\ncontent-length: 0\r\n\r\n");
        }
    });
    let secrets = [
        "hf_TokenSecret123",
        "pass%2Fsecret",
        "pass/secret",
        "me:pass",
        "bWU6cGFzcy9zZWNyZXQ",
        "cookie-secret-1",
    ];
    for log in [
        "off",
        "debug",
        "trace",
        "ureq_proto=trace",
        "ureq_proto::util=trace,periapt=debug",
    ] {
        for (name, value) in [
            ("HF_ENDPOINT", format!("http://{address}")),
            ("HF_ENDPOINT", format!("http://me:pass%2Fsecret@{address}")),
            ("http_proxy", format!("http://me:pass%2Fsecret@{address}")),
            ("ALL_PROXY", format!("http://me:pass%2Fsecret@{address}")),
            ("https_proxy", format!("me:pass%2Fsecret@{address}")),
        ] {
            let args = ["models", "pull", "a/b"];
            let mut pull = command(&args);
            pull.env("PERIAPT_MODELS", store.path())
                .env("PERIAPT_LOG", log)
                .env("HF_TOKEN", secrets[0]);
            if name != "HF_ENDPOINT" {
                pull.env("HF_ENDPOINT", "http://hub.invalid");
            }
            let output = checked(&args, pull.env(name, value));
            assert!(!output.status.success());
            let said = stderr(&output);
            for secret in secrets {
                assert!(!said.contains(secret), "{log}, {name}: {secret} in {said}");
            }
            // Nor in a dump of bytes, cut into rows.
            assert!(
                !said.contains("Bearer h") && !said.contains("6865 6c6c"),
                "{said}"
            );
            assert!(!said.contains("TRACE ureq_proto"), "{said}");
        }
    }
}

/// The binary's own sources: nothing but `terminal` writes to the two streams.
#[test]
fn one_place_writes_to_the_terminal() {
    fn visit(folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(&path, found);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap_or_default();
            if path.components().any(|part| part.as_os_str() == "terminal") {
                continue;
            }
            for (number, line) in text.lines().enumerate() {
                let writes = ["print!(", "println!(", "dbg!(", "::stdout()", "::stderr()"];
                let is_code = !line.trim_start().starts_with("//");
                if is_code && writes.iter().any(|word| line.contains(word)) {
                    found.push(format!("{}:{}: {line}", path.display(), number + 1));
                }
            }
        }
    }
    let mut found = Vec::new();
    visit(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut found,
    );
    assert!(
        found.is_empty(),
        "use `crate::terminal` for\n{}",
        found.join("\n")
    );
}
