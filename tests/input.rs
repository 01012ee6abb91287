//! What people type, pipe and save, and what becomes of it: byte order marks, line breaks, typing errors, limits of 0, empty
//! variables, long prompts. Each kind has the public reports that its cases are made from.

mod wishes;

use crate::common::place::Place;
use crate::common::{self, stderr};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;

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
                "--method",
                "base",
                "--prompt-set",
                "paper",
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
        "--method",
        "base",
        "--prompt-set",
        "paper",
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
    // What is tokenized is all there is.
    assert_eq!(
        place.ok(&["tokenize", "--json", "-"], b"Why?\n"),
        place.ok(&["tokenize", "--json", "Why?\n"], b"")
    );
    assert_eq!(
        place.ok(&["tokenize", "--json", "-"], b"")["token_ids"],
        json!([])
    );
}

/// Reports as those at `parse.rs`: en dashes of documents (<https://github.com/MRtrix3/mrtrix3/issues/2332>), a typing error
/// that was taken as text.
#[test]
fn a_mistyped_option_is_no_question() {
    let place = Place::new();
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
fn a_limit_of_0_means_what_is_documented() {
    let place = Place::new();
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
    let steps = [
        "generate",
        "--json",
        "-n",
        "1",
        "--prefer",
        "in rhyme",
        "--iterations",
        "0",
        "Why?",
    ];
    assert_eq!(place.ok(&steps, b"")["strength"], 0.0);
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
        &[
            "score",
            "--system",
            "Be",
            "--prefer",
            "in rhyme",
            "--response",
            &response,
        ],
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
