//! Model files and folders as people have them: what tokenizers and metadata say, and what lies in a model's place. Each
//! test runs the program on a tiny model of tests/fixtures/models, changed. Beside each case is where it was reported of
//! another program.

use crate::common::{self, copy, fails, fixture, json, periapt, stderr, str};
use periapt_core::formats::gguf::{Array, GgufFiles, GgufWriter, Metadata, Value};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use temp_dir::TempDir;

const TOKENS: &str = "tokenizer.ggml.tokens";
const TYPES: &str = "tokenizer.ggml.token_type";
const MERGES: &str = "tokenizer.ggml.merges";

/// The fixture of that name with other metadata.
fn changed(scratch: &TempDir, name: &str, change: impl FnOnce(&mut Metadata)) -> PathBuf {
    let mut source = GgufFiles::one(File::open(fixture(name)).unwrap()).unwrap();
    let header = source.gguf().clone();
    let mut metadata = header.metadata.clone();
    change(&mut metadata);
    let mut writer = GgufWriter::new();
    for (key, value) in metadata.iter() {
        writer.metadata(key, value.clone());
    }
    for (index, info) in header.tensors.iter().enumerate() {
        let bytes = source.read(index).unwrap();
        writer.tensor(info.name.as_str(), info.shape.clone(), info.dtype, bytes);
    }
    let path = scratch.child("changed.gguf");
    writer.write(&mut File::create(&path).unwrap()).unwrap();
    path
}

/// A fixture's folder with other files; `None` takes one away.
fn folder(name: &str, files: &[(&str, Option<&[u8]>)]) -> TempDir {
    let copy = copy(name);
    for (file, text) in files {
        match text {
            Some(text) => fs::write(copy.child(file), text).unwrap(),
            None => fs::remove_file(copy.child(file)).unwrap(),
        }
    }
    copy
}

fn set(meta: &mut Metadata, key: &str, value: Value) {
    meta.insert(key.to_owned(), value);
}

fn texts(meta: &Metadata, key: &str) -> Vec<String> {
    meta.strings(key).unwrap().to_vec()
}

fn set_texts(meta: &mut Metadata, key: &str, texts: Vec<String>) {
    set(meta, key, Value::Array(Array::Strings(texts)));
}

fn id_of(meta: &Metadata, text: &str) -> u32 {
    let tokens = meta.strings(TOKENS).unwrap();
    tokens.iter().position(|token| token == text).unwrap() as u32
}

fn generate(model: &Path, more: &[&str]) -> serde_json::Value {
    let args = [
        "generate",
        "--device",
        "cpu",
        "--json",
        "--model",
        str(model),
    ];
    json(&[&args[..], more, &["Hi, there!"]].concat())
}

fn ids(answer: &serde_json::Value, key: &str) -> Vec<u32> {
    common::ids(match key {
        "answer" => &answer["token_ids"],
        stream => &answer["prompt_token_ids"][stream],
    })
}

#[test]
fn metadata_in_other_words_says_the_same() {
    let scratch = TempDir::new().unwrap();
    let want = generate(&fixture("llama.gguf"), &["-n", "8"]);
    type Change = fn(&mut Metadata);
    let changes: [Change; 10] = [
        // An author in Latin-1.
        |m| set(m, "general.author", Value::Bytes(b"Andr\xe9".to_vec())),
        |m| {
            set(
                m,
                "general.tags",
                Value::Array(Array::Bytes(vec![b"a".to_vec(), vec![0xff]])),
            )
        },
        |m| set(m, "general.name", Value::Bytes(vec![0xe9])),
        // https://github.com/ggml-org/llama.cpp/issues/13557, https://github.com/ollama/ollama/pull/1245
        |m| {
            set(m, "llama.block_count", Value::U64(2));
            set(m, "llama.context_length", Value::I16(512));
            set(m, "llama.attention.head_count", Value::F32(4.0));
            set(
                m,
                "llama.attention.head_count_kv",
                Value::Array(Array::I32(vec![2, 2])),
            );
        },
        |m| set(m, "llama.rope.freq_base", Value::U32(500_000)),
        |m| set(m, "tokenizer.ggml.add_bos_token", Value::U8(0)),
        // https://github.com/EricLBuehler/mistral.rs/pull/2215
        |m| {
            let types = m.i32s(TYPES).unwrap();
            let types = types.into_iter().map(|kind| kind as u8).collect();
            set(m, TYPES, Value::Array(Array::U8(types)));
        },
        |m| {
            let types = m.i32s(TYPES).unwrap();
            let types = types.into_iter().map(i64::from).collect();
            set(m, TYPES, Value::Array(Array::I64(types)));
            set(m, "tokenizer.ggml.eos_token_id", Value::I64(2));
        },
        // https://github.com/ggml-org/llama.cpp/issues/7898: ids of an ordinary character, and of nothing.
        |m| {
            let id = id_of(m, "!");
            set(m, "tokenizer.ggml.unknown_token_id", Value::U32(id));
            set(m, "tokenizer.ggml.bos_token_id", Value::U32(id));
            set(m, "tokenizer.ggml.padding_token_id", Value::U32(id));
        },
        |m| {
            set(m, "tokenizer.ggml.unknown_token_id", Value::I32(-1));
            set(m, "tokenizer.ggml.bos_token_id", Value::U32(u32::MAX));
            set(m, "tokenizer.ggml.eot_token_id", Value::U32(32_000));
            m.remove("tokenizer.ggml.eos_token_id");
        },
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let answer = generate(&changed(&scratch, "llama.gguf", change), &["-n", "8"]);
        for key in ["answer", "base"] {
            assert_eq!(ids(&answer, key), ids(&want, key), "change {index}");
        }
    }
}

#[test]
fn vocabularies_that_make_no_sense_are_refused_by_name() {
    let scratch = TempDir::new().unwrap();
    type Change = fn(&mut Metadata);
    let changes: [(Change, &[&str]); 7] = [
        // https://github.com/ggml-org/llama.cpp/issues/3732
        (|m| drop(m.remove(MERGES)), &["tokenizer.ggml.merges"]),
        (
            |m| set(m, MERGES, Value::Array(Array::U32(vec![]))),
            &["tokenizer.ggml.merges"],
        ),
        // https://github.com/ggml-org/llama.cpp/issues/7476
        (
            |m| drop(m.remove("tokenizer.ggml.pre")),
            &["tokenizer.ggml.pre", "llama-bpe"],
        ),
        (
            |m| drop(m.remove("tokenizer.ggml.model")),
            &["tokenizer.ggml.model"],
        ),
        (
            |m| {
                let mut tokens: Vec<Vec<u8>> = { texts(m, TOKENS).into_iter() }
                    .map(String::into_bytes)
                    .collect();
                tokens[286] = vec![0xff];
                set(m, TOKENS, Value::Array(Array::Bytes(tokens)));
            },
            &["tokenizer.ggml.tokens", "number 286 is not UTF-8"],
        ),
        // https://github.com/OpenRLHF/OpenRLHF/issues/87: a [PAD] that was added to the tokenizer alone.
        (
            |m| {
                let mut tokens = texts(m, TOKENS);
                tokens.push("[PAD]".to_owned());
                set_texts(m, TOKENS, tokens);
                let mut types = m.i32s(TYPES).unwrap();
                types.push(3);
                set(m, TYPES, Value::Array(Array::I32(types)));
            },
            &["289 tokens", "288", "\"[PAD]\""],
        ),
        (
            |m| set(m, "general.architecture", Value::String("mamba".to_owned())),
            &["mamba", "supported"],
        ),
    ];
    for (change, says) in changes {
        let model = changed(&scratch, "llama.gguf", change);
        fails(
            &["generate", "--device", "cpu", "--model", str(&model), "x"],
            3,
            says,
        );
    }
}

/// https://github.com/ggml-org/llama.cpp/issues/25739, and Gemma's files.
#[test]
fn equal_and_empty_tokens_load() {
    let scratch = TempDir::new().unwrap();
    let model = changed(&scratch, "llama.gguf", |m| {
        let (mut tokens, mut types) = (texts(m, TOKENS), m.i32s(TYPES).unwrap());
        for (id, text, kind) in [(285, "", 5), (286, "<unused>", 5), (287, "<unused>", 5)] {
            (tokens[id], types[id]) = (text.to_owned(), kind);
        }
        set_texts(m, TOKENS, tokens);
        set(m, TYPES, Value::Array(Array::I32(types)));
        let merges = texts(m, MERGES);
        set_texts(m, MERGES, merges[..26].to_vec());
    });
    generate(&model, &["-n", "4"]);
    let text = json(&[
        "detokenize",
        "--json",
        "--model",
        str(&model),
        "286,285,287",
    ]);
    assert_eq!(text["text"], "<unused><unused>");
}

/// The model with so few tokens, the rest of its rows without one.
fn padded(scratch: &TempDir, tokens: usize, padding: bool) -> PathBuf {
    changed(scratch, "llama.gguf", |m| {
        let (mut texts_of, mut types) = (texts(m, TOKENS), m.i32s(TYPES).unwrap());
        for (id, text) in texts_of.iter_mut().enumerate().skip(tokens) {
            *text = format!("[PAD{id}]");
            types[id] = 5;
        }
        // A hole.
        (texts_of[100], types[100]) = ("[PAD100]".to_owned(), 5);
        if !padding {
            texts_of.truncate(tokens);
            types.truncate(tokens);
        }
        set_texts(m, TOKENS, texts_of);
        set(m, TYPES, Value::Array(Array::I32(types)));
        // Tokens above 259 are the merges' results, in their order.
        let merges = texts(m, MERGES);
        set_texts(m, MERGES, merges[..tokens - 259].to_vec());
    })
}

/// https://github.com/MoonshotAI/Kimina-Prover-Preview/issues/6: what has no token is never chosen, by any method.
#[test]
fn rows_without_a_token_are_never_drawn() {
    let scratch = TempDir::new().unwrap();
    for padding in [false, true] {
        let model = padded(&scratch, 270, padding);
        let drawn = ["-n", "60", "--temperature", "5", "--seed", "3"];
        let trace = scratch.child(format!("{padding}.jsonl"));
        let methods: [&[&str]; 7] = [
            &[],
            &["--prefer", "brief"],
            &["--prefer", "brief", "--method", "amulet"],
            &["--prefer", "brief", "--method", "la"],
            &[
                "--prefer",
                "brief",
                "--method",
                "amulet",
                "--kl-budget",
                "0.1",
                "--plausibility",
                "0.001",
            ],
            &[
                "--prefer",
                "brief",
                "--nucleus",
                "0.999",
                "--adaptive",
                "jsd",
            ],
            &["--prefer", "brief", "--trace", str(&trace)],
        ];
        for method in &methods {
            let answer = generate(&model, &[&drawn[..], method].concat());
            let chosen = ids(&answer, "answer");
            assert!(chosen.len() > 1, "{method:?}");
            assert!(
                chosen.iter().all(|id| *id < 270 && *id != 100),
                "{method:?} {chosen:?}"
            );
        }
        assert!(!fs::read_to_string(&trace).unwrap().contains("[PAD"));
        generate(
            &model,
            &[
                "-n", "12", "--prefer", "brief", "--method", "beam", "--beams", "3",
            ],
        );
        let all = json(&[
            "logits",
            "--device",
            "cpu",
            "--json",
            "--all",
            "--prompt",
            "Hi",
            "--model",
            str(&model),
        ]);
        let (logits, top) = (
            all["logits"].as_array().unwrap(),
            all["top"].as_array().unwrap(),
        );
        assert_eq!((logits.len(), top.len()), (270, 269));
        assert!(logits[100].is_null());
        // And those that are left are what they were.
        let whole = json(&[
            "logits",
            "--device",
            "cpu",
            "--json",
            "--all",
            "--prompt",
            "Hi",
            "--model",
            str(&fixture("llama.gguf")),
        ]);
        for (id, logit) in logits.iter().enumerate().filter(|(id, _)| *id != 100) {
            assert_eq!(logit, &whole["logits"][id]);
        }
        let score = [
            "score",
            "--device",
            "cpu",
            "--json",
            "--model",
            str(&model),
            "--prefer",
            "brief",
            "--response",
        ];
        let response = scratch.child("response");
        fs::write(&response, "A cat.").unwrap();
        json(&[&score[..], &[str(&response), "Hi"]].concat());
    }
}

/// https://github.com/Blaizzy/mlx-vlm/pull/309, https://github.com/turboderp-org/exllamav2/pull/449: each of the ends
/// that a folder names ends an answer, its conversion's too.
#[test]
fn every_end_that_is_named_ends_the_answer() {
    let scratch = TempDir::new().unwrap();
    let plain = generate(&fixture("llama"), &["-n", "8"]);
    let plain = ids(&plain, "answer");
    for at in 1..plain.len() {
        let end = plain[at];
        let first = plain.iter().position(|id| *id == end).unwrap();
        let ended = |answer: serde_json::Value| {
            assert_eq!(ids(&answer, "answer"), plain[..=first]);
            assert_eq!(answer["finish_reason"], "stop");
        };
        let config = format!(r#"{{"eos_token_id": [1, 2, 0, {end}], "bos_token_id": 0}}"#);
        let folder = folder(
            "llama",
            &[("generation_config.json", Some(config.as_bytes()))],
        );
        ended(generate(folder.path(), &["-n", "8"]));
        let converted = scratch.child(format!("{at}.gguf"));
        let args = ["models", "convert", str(folder.path()), str(&converted)];
        assert!(periapt(&args).status.success());
        ended(generate(&converted, &["-n", "8"]));
        for key in ["eos_token_id", "eot_token_id", "eom_token_id"] {
            let model = changed(&scratch, "llama.gguf", |m| {
                set(m, &format!("tokenizer.ggml.{key}"), Value::I32(end as i32))
            });
            ended(generate(&model, &["-n", "8"]));
        }
        // As ollama's converter writes several.
        let model = changed(&scratch, "llama.gguf", |m| {
            set(
                m,
                "tokenizer.ggml.eos_token_ids",
                Value::Array(Array::I32(vec![2, end as i32])),
            );
        });
        ended(generate(&model, &["-n", "8"]));
    }
}

/// https://github.com/ggml-org/llama.cpp/issues/7049. The ids are the Python package's (tokenizers 0.23.3) for the folder's
/// tokenizer.json, changed so, and the rendered text `<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n`.
#[test]
fn a_control_token_takes_the_spaces_that_its_folder_says() {
    let scratch = TempDir::new().unwrap();
    let template = b"{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n";
    let file = fs::read_to_string(fixture("llama").join("tokenizer.json")).unwrap();
    let mut tokenizer: serde_json::Value = serde_json::from_str(&file).unwrap();
    for (token, flag) in [(2, "rstrip"), (1, "lstrip")] {
        for token_of in tokenizer["added_tokens"].as_array_mut().unwrap() {
            (token_of["rstrip"], token_of["lstrip"]) = (false.into(), false.into());
        }
        tokenizer["added_tokens"][token][flag] = true.into();
        let changed = tokenizer.to_string();
        let folder = folder(
            "llama",
            &[
                ("tokenizer.json", Some(changed.as_bytes())),
                ("chat_template.jinja", Some(template)),
            ],
        );
        let converted = scratch.child(format!("{flag}.gguf"));
        let args = ["models", "convert", str(folder.path()), str(&converted)];
        assert!(periapt(&args).status.success());
        for model in [folder.path(), &converted] {
            let args = [
                "generate",
                "--device",
                "cpu",
                "--json",
                "-n",
                "1",
                "--model",
                str(model),
                "hi",
            ];
            let got = ids(&json(&args), "base");
            assert_eq!(
                got,
                [
                    1, 87, 85, 268, 201, 74, 75, 2, 1, 67, 85, 85, 75, 85, 86, 264, 86
                ],
                "{flag}"
            );
        }
    }
}

#[test]
fn a_folders_template_is_found_wherever_it_stands() {
    let config = |template: serde_json::Value| {
        let config = serde_json::json!({ "bos_token": "<|endoftext|>", "eos_token": "<|im_end|>", "chat_template": template });
        config.to_string()
    };
    let (text, other) = ("{{ messages[0].content }}!", "{{ raise_exception('no') }}");
    let named =
        |name: &str, template: &str| serde_json::json!({ "name": name, "template": template });
    let places = [
        ("tokenizer_config.json", config(text.into())),
        (
            "tokenizer_config.json",
            config(serde_json::json!([
                named("tool_use", other),
                named("default", text)
            ])),
        ),
        (
            "tokenizer_config.json",
            config(serde_json::json!([named("rag", text)])),
        ),
        // https://github.com/huggingface/transformers/pull/33957: of models with a processor.
        (
            "chat_template.json",
            serde_json::json!({ "chat_template": text }).to_string(),
        ),
        ("chat_template.jinja", format!("\u{feff}{text}")),
    ];
    for (file, content) in places {
        let mut files = vec![("chat_template.jinja", None)];
        files.push((file, Some(content.as_bytes())));
        let folder = folder("llama", &files);
        let answer = generate(folder.path(), &["-n", "1"]);
        let ids = ids(&answer, "base");
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let text = json(&[
            "detokenize",
            "--json",
            "--model",
            str(folder.path()),
            &ids.join(","),
        ]);
        assert_eq!(text["text"], "Hi, there!!", "{file}");
    }
}

#[test]
fn what_lies_in_a_models_place_is_named() {
    let scratch = TempDir::new().unwrap();
    let lfs = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
    let whole = fs::read(fixture("llama.gguf")).unwrap();
    let weights = fs::read(fixture("llama").join("model.safetensors")).unwrap();
    let rows: [(&[u8], &str); 10] = [
        // https://github.com/ollama/ollama/issues/3010
        (lfs, "Git LFS pointer"),
        // https://github.com/ggml-org/llama.cpp/issues/3358
        (b"<!DOCTYPE html><html></html>", "a web page"),
        (
            b"{\"error\":\"Repository not found\"}",
            "Repository not found",
        ),
        (&weights, "a safetensors file; give the folder"),
        (b"PK\x03\x04\0\0\0\0\0\0archive/data.pkl", "PyTorch"),
        // https://github.com/ggml-org/llama.cpp/issues/3492
        (b"tjgg\x03\0\0\0\0\0", "old format"),
        (b"", "an empty file"),
        // https://github.com/unslothai/unsloth/issues/1500
        (&[0; 4096], "zero bytes"),
        (&whole[..whole.len() / 2], "downloaded in full"),
        (b"\x1f\x8b\x08\0\0\0", "gzip"),
    ];
    let path = scratch.child("model.gguf");
    for (bytes, says) in rows {
        fs::write(&path, bytes).unwrap();
        for command in [
            &["generate", "--device", "cpu"][..],
            &["tokenize"],
            &["logits", "--prompt"],
        ] {
            let args = [command, &["x", "--model", str(&path)]].concat();
            fails(&args, 3, &[says]);
        }
        fails(&["models", "inspect", str(&path)], 3, &[says]);
    }
    // https://github.com/ggml-org/llama.cpp/issues/7799: a GGUF file that holds something else.
    type Change = fn(&mut Metadata);
    let kinds: [(Change, &str); 5] = [
        (
            |m| set(m, "general.architecture", Value::String("clip".to_owned())),
            "projector (mmproj)",
        ),
        (
            |m| set(m, "general.type", Value::String("mmproj".to_owned())),
            "projector (mmproj)",
        ),
        (
            |m| set(m, "general.type", Value::String("adapter".to_owned())),
            "LoRA adapter",
        ),
        (
            |m| {
                set(
                    m,
                    "general.architecture",
                    Value::String("controlvector".to_owned()),
                )
            },
            "control vector",
        ),
        (
            |m| {
                m.remove("general.architecture");
                set(m, "general.type", Value::String("imatrix".to_owned()));
            },
            "importance matrix",
        ),
    ];
    for (change, says) in kinds {
        let model = changed(&scratch, "llama.gguf", change);
        fails(
            &["generate", "--device", "cpu", "--model", str(&model), "x"],
            3,
            &[says, "no language model"],
        );
    }
}

#[test]
fn what_lies_in_a_folders_files_place_is_named() {
    let lfs = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
    let page = b"<!DOCTYPE html><html></html>";
    let weights = fs::read(fixture("llama").join("model.safetensors")).unwrap();
    let longer = [&weights[..], b"more"].concat();
    type Files<'a> = Vec<(&'a str, Option<&'a [u8]>)>;
    let rows: Vec<(Files<'_>, &[&str])> = vec![
        (
            vec![("model.safetensors", Some(lfs))],
            &["model.safetensors", "Git LFS"],
        ),
        (
            vec![("model.safetensors", Some(&longer))],
            &["belong to no tensor"],
        ),
        (
            vec![("model.safetensors", Some(&weights[..weights.len() - 4]))],
            &["downloaded in full"],
        ),
        (
            vec![("tokenizer.json", Some(lfs))],
            &["tokenizer.json is a Git LFS"],
        ),
        (
            vec![("tokenizer.json", Some(b""))],
            &["tokenizer.json is an empty file"],
        ),
        (
            vec![("config.json", Some(page))],
            &["config.json is a web page"],
        ),
        (
            vec![("config.json", Some(b"PK\x03\x04\xff\xfe"))],
            &["config.json is a zip archive"],
        ),
        (
            vec![("generation_config.json", Some(b"Entry not found"))],
            &["generation_config.json is a text", "Entry not found"],
        ),
        (
            vec![("tokenizer.json", None), ("tokenizer.model", Some(b"x"))],
            &["tokenizer.json", "tokenizer.model alone", "save_pretrained"],
        ),
        (
            vec![("tokenizer.json", None), ("vocab.json", Some(b"{}"))],
            &["vocab.json and merges.txt alone"],
        ),
        (
            vec![
                ("model.safetensors", None),
                ("pytorch_model.bin", Some(b"x")),
            ],
            &["only safetensors are read"],
        ),
    ];
    for (files, says) in rows {
        let folder = folder("llama", &files);
        fails(
            &[
                "generate",
                "--device",
                "cpu",
                "--model",
                str(folder.path()),
                "x",
            ],
            3,
            says,
        );
    }
    // A byte order mark is nothing.
    let config = fs::read_to_string(fixture("llama").join("config.json")).unwrap();
    let folder = folder(
        "llama",
        &[("config.json", Some(format!("\u{feff}{config}").as_bytes()))],
    );
    let output = periapt(&["tokenize", "--model", str(folder.path()), "x"]);
    assert!(output.status.success(), "{}", stderr(&output));
}
