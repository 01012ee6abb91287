//! The command line as a user meets it: the real binary, real files, exit codes.

use crate::common::{self, fails, json, model_arg, periapt, stderr};
use serde_json::Value;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use temp_dir::TempDir;

#[test]
fn generate_prints_the_documented_object() {
    let Some(model) = model_arg() else { return };
    let answer = json(&[
        "generate",
        "--model",
        &model,
        "--device",
        "cpu",
        "-n",
        "8",
        "--json",
        "What is the capital of France?",
    ]);
    let golden = &common::golden("smollm2_135m_q4_1.json")["cases"][0];
    assert_eq!(answer["token_ids"], golden["greedy"]);
    assert_eq!(answer["text"], golden["greedy_text"]);
    assert_eq!(answer["finish_reason"], "stop");
    assert_eq!(answer["prompt_token_ids"]["base"], golden["token_ids"]);
    assert_eq!(answer["strength"], 0.0);
    assert_eq!(answer["device"]["kind"], "cpu");
    assert!(answer["model"]["path"].is_string());
    for timing in ["load_ms", "prefill_ms", "decode_ms", "tokens_per_second"] {
        assert!(
            answer["timings"][timing].as_f64().unwrap() > 0.0,
            "{timing}"
        );
    }
}

#[test]
fn a_preference_means_amulet_and_two_prompts() {
    let Some(model) = model_arg() else { return };
    let answer = json(&[
        "generate",
        "--model",
        &model,
        "--device",
        "cpu",
        "-n",
        "4",
        "--json",
        "--prompt-set",
        "paper",
        "--prefer",
        "uplifting",
        "How do I take care of a wooden table?",
    ]);
    let golden = &common::golden("smollm2_135m_q4_1.json")["cases"][4]["amulet"];
    assert_eq!(answer["prompt_token_ids"]["base"], golden["base_ids"]);
    assert_eq!(answer["prompt_token_ids"]["pref"], golden["pref_ids"]);
    assert_eq!(
        common::ids(&answer["token_ids"]),
        common::ids(&golden["greedy"])[..4]
    );
    assert_eq!(answer["finish_reason"], "length");
    let strength = answer["strength"].as_f64().unwrap();
    assert!((strength - 4.648_699).abs() < 1e-5, "{strength}");
}

#[test]
fn a_seed_gives_the_same_text_again() {
    let Some(model) = model_arg() else { return };
    let run = |seed: &str| {
        json(&[
            "generate",
            "--model",
            &model,
            "--device",
            "cpu",
            "-n",
            "12",
            "--json",
            "--temperature",
            "1.2",
            "--top-p",
            "0.95",
            "--seed",
            seed,
            "Tell me a story.",
        ])["token_ids"]
            .clone()
    };
    assert_eq!(run("7"), run("7"));
    assert_ne!(run("7"), run("8"));
}

#[test]
fn the_question_may_come_from_standard_input() {
    let Some(model) = model_arg() else { return };
    let mut child = Command::new(env!("CARGO_BIN_EXE_periapt"))
        .args([
            "generate", "--model", &model, "--device", "cpu", "-n", "8", "-",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"What is the capital of France?").unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "The capital of France is Paris.\n"
    );
}

#[test]
fn logits_take_text_chat_and_ids_alike() {
    let Some(model) = model_arg() else { return };
    let logits = |input: &[&str]| {
        let args = [
            &["logits", "--model", &model, "--device", "cpu", "--json"],
            input,
        ]
        .concat();
        json(&args)
    };
    let golden = &common::golden("smollm2_135m_q4_1.json")["cases"][0];
    let chat = logits(&["--chat", "What is the capital of France?", "--top", "3"]);
    assert_eq!(chat["token_ids"], golden["token_ids"]);
    assert_eq!(chat["top"].as_array().unwrap().len(), 3);
    assert_eq!(chat["top"][0][0], golden["top_logits"][0][0]);
    assert!(chat["top"][0][2].is_string());

    let ids = common::ids(&golden["token_ids"])
        .iter()
        .map(u32::to_string)
        .collect::<Vec<_>>();
    let by_ids = logits(&["--ids", &ids.join(","), "--all"]);
    assert_eq!(by_ids["top"].as_array().unwrap().len(), 49152);
    assert_eq!(by_ids["logits"].as_array().unwrap().len(), 49152);
    assert_eq!(by_ids["top"][0], chat["top"][0]);
    let plain = logits(&["--prompt", "Hello world", "--top", "1"]);
    assert_eq!(
        plain["token_ids"],
        json(&["tokenize", "--model", &model, "--json", "Hello world"])["token_ids"]
    );
}

#[test]
fn tokenize_and_detokenize_are_inverse_and_keep_control_text_ordinary() {
    let Some(model) = model_arg() else { return };
    let text = "Grüße <|im_end|> 你好 🌙\n";
    let ids = |args: &[&str]| {
        let args = [&["tokenize", "--model", &model, "--json"], args].concat();
        common::ids(&json(&args)["token_ids"])
    };
    let (plain, special) = (ids(&[text]), ids(&["--parse-special", text]));
    assert!(!plain.contains(&2), "{plain:?}");
    assert!(special.contains(&2), "{special:?}");
    for ids in [plain, special] {
        let ids = ids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        assert_eq!(
            json(&["detokenize", "--model", &model, "--json", &ids])["text"],
            text
        );
    }
}

#[test]
fn amulet_update_prints_the_golden_policies() {
    let golden = common::golden("amulet_update.json");
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/golden/amulet_update.json");
    for form in ["collapsed", "iterative"] {
        let output = json(&[
            "amulet-update",
            file.to_str().unwrap(),
            "--device",
            "cpu",
            "--form",
            form,
            "--json",
        ]);
        let cases = output["cases"].as_array().unwrap();
        assert_eq!(cases.len(), golden["cases"].as_array().unwrap().len());
        for (got, want) in cases.iter().zip(golden["cases"].as_array().unwrap()) {
            assert_eq!(got["argmax"], want["argmax"], "{form}");
            let last = &want["log_policy"][want["iterations"].to_string()];
            assert_eq!(
                got["log_policy"].as_array().unwrap().len(),
                last.as_array().unwrap().len()
            );
        }
    }
}

#[test]
fn doctor_says_what_auto_takes() {
    let store = temp_dir::TempDir::new().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_periapt"))
        .args(["doctor", "--json"])
        .env("PERIAPT_MODELS", store.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let doctor: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(doctor["generation_possible"], true);
    assert!(doctor["auto"]["why"].is_string());
    assert!(doctor["adapters"].is_array());
}

#[test]
fn models_list_path_verify_and_rm_work_on_a_store_of_ones_own() {
    let store = temp_dir::TempDir::new().unwrap();
    let run = |args: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_periapt"))
            .args(args)
            .env("PERIAPT_MODELS", store.path())
            .output()
            .unwrap()
    };
    let path = run(&["models", "path"]);
    assert_eq!(path.status.code(), Some(3), "{}", stderr(&path));
    let list: Value = serde_json::from_slice(&run(&["models", "list", "--json"]).stdout).unwrap();
    assert_eq!(list["available"][0]["bytes"], 98_362_432);

    // A damaged file in the default model's place: refused by every command, and by doctor.
    let file = store.path().join("qwen2.5-coder-0.5b-instruct-q4_k_m.gguf");
    std::fs::write(&file, b"GGUF").unwrap();
    for args in [
        &["models", "path"] as &[&str],
        &["models", "verify"],
        &["doctor"],
        &["tokenize", "x"],
    ] {
        let output = run(args);
        assert_eq!(
            output.status.code(),
            Some(3),
            "{args:?}: {}",
            stderr(&output)
        );
    }
    let name = "qwen2.5-coder:0.5b";
    assert!(run(&["models", "rm", name]).status.success());
    assert!(!file.exists());
    assert_eq!(run(&["models", "rm", name]).status.code(), Some(3));
}

#[test]
fn a_file_that_was_cut_exits_with_3_and_is_named() {
    let folder = temp_dir::TempDir::new().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let Some(model) = model_arg() else { return };
    let whole = std::fs::read(model).unwrap();
    for cut in [1000, whole.len() / 2, whole.len() - 1] {
        let path = write("cut.gguf", &whole[..cut]);
        fails(
            &["generate", "--model", &path, "--device", "cpu", "x"],
            3,
            &["cut.gguf"],
        );
    }
}

#[test]
fn earlier_turns_stand_before_the_question() {
    let Some(model) = model_arg() else { return };
    let history = r#"[{"role": "user", "content": "My cat is called Mog."},
        {"role": "assistant", "content": "A lovely name."}]"#;
    let args = ["--model", &model, "--device", "cpu", "-n", "1", "--json"];
    let answer = json(
        &[
            &["generate"],
            &args[..],
            &[
                "--prefer",
                "concise",
                "--history",
                history,
                "What is it called?",
            ],
        ]
        .concat(),
    );
    for stream in ["base", "pref"] {
        let ids: Vec<String> = common::ids(&answer["prompt_token_ids"][stream])
            .iter()
            .map(u32::to_string)
            .collect();
        let text = json(&["detokenize", "--model", &model, "--json", &ids.join(",")]);
        let text = text["text"].as_str().unwrap();
        let places: Vec<usize> = ["called Mog.", "A lovely name.", "What is it called?"]
            .iter()
            .map(|turn| {
                text.find(turn)
                    .unwrap_or_else(|| panic!("no {turn:?} in {text}"))
            })
            .collect();
        assert!(places.is_sorted(), "{text}");
    }
}

#[test]
fn an_answer_ends_at_a_stop_text() {
    let Some(model) = model_arg() else { return };
    let args = ["generate", "--model", &model, "--device", "cpu", "-n", "12"];
    let question = "What is the capital of France?";
    let whole = json(&[&args[..], &["--json", question]].concat());
    let text = whole["text"].as_str().unwrap();
    // In the middle of a token's text, and over two tokens.
    let (before, stop) = (&text[..text.len() / 2], &text[text.len() / 2..]);
    let ended = json(
        &[
            &args[..],
            &["--stop", "nowhere", "--stop", stop, "--json", question],
        ]
        .concat(),
    );
    assert_eq!(ended["text"], before);
    assert_eq!(ended["finish_reason"], "stop");
    let shown = common::periapt(&[&args[..], &["--stop", stop, question]].concat());
    assert_eq!(
        String::from_utf8(shown.stdout)
            .unwrap()
            .trim_end_matches('\n'),
        before
    );
}

#[test]
fn shells_and_man_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = periapt(&["completions", shell]);
        assert!(output.status.success(), "{}", stderr(&output));
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(
            script.contains("generate") && script.contains("prompt-set"),
            "{shell}"
        );
    }
    let folder = TempDir::new().unwrap();
    let place = folder.path().join("man/man1");
    let output = periapt(&["man", crate::common::str(&place)]);
    assert!(output.status.success(), "{}", stderr(&output));
    for name in ["periapt.1", "periapt-generate.1", "periapt-tpo-report.1"] {
        let page = std::fs::read_to_string(place.join(name)).unwrap();
        assert!(page.contains(".SH NAME"), "{name}");
    }
    let below_a_file = place.join("periapt.1/man1");
    let below_a_file = crate::common::str(&below_a_file);
    fails(&["man", below_a_file], 1, &[below_a_file]);
}
