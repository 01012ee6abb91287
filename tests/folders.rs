//! Hub folders of safetensors, split GGUF files and conversion: the tiny models of tests/fixtures/models, each of which
//! is there as a folder that the transformers library wrote, and as a GGUF file that the Python package `gguf` wrote.

use crate::common::{copy, fails, fixture, json, periapt, stderr, str};
use periapt_core::formats::gguf::{Array, Gguf, GgufFiles, GgufWriter, TensorType, Value};
use periapt_core::formats::hub::Folder;
use periapt_core::formats::quant::{dequantize, quantize};
use periapt_core::load::read_folder;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use temp_dir::TempDir;

const FOLDERS: [&str; 7] = [
    "llama",
    "mistral",
    "qwen2",
    "qwen2-yarn",
    "qwen3",
    "reward-llama",
    "reward-qwen3",
];

fn folder(path: &Path) -> Folder<File> {
    let name = path.file_name().unwrap().to_str().unwrap();
    read_folder(name, &mut |file| Ok(File::open(path.join(file)).ok())).unwrap()
}

fn gguf(path: &Path) -> GgufFiles<File> {
    GgufFiles::one(File::open(path).unwrap()).unwrap()
}

/// The ids that a model answers with.
fn answer(model: &Path, more: &[&str]) -> serde_json::Value {
    let fixed = [
        "generate", "--device", "cpu", "-n", "12", "--json", "--model",
    ];
    let args = [&fixed[..], &[str(model)], more, &["the river"]].concat();
    let answer = json(&args);
    assert!(!answer["token_ids"].as_array().unwrap().is_empty());
    answer["token_ids"].clone()
}

fn convert(from: &Path, to: &Path, more: &[&str]) {
    let args = [&["models", "convert", str(from), str(to)][..], more].concat();
    let output = periapt(&args);
    assert!(output.status.success(), "{}", stderr(&output));
}

/// A folder with an adapter alone, as fine-tuning leaves it.
#[test]
fn an_adapters_folder_is_told_what_it_lacks() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.child("adapter_config.json"), "{}").unwrap();
    fs::write(folder.child("adapter_model.safetensors"), "").unwrap();
    let model = str(folder.path());
    fails(
        &["generate", "--model", model, "Why?"],
        3,
        &["LoRA adapter", "merged"],
    );
}

/// The same tensors, in the same types and to the bit; the same metadata.
#[test]
fn a_folder_reads_as_its_gguf_file() {
    for name in FOLDERS {
        let mut ours = folder(&fixture(name));
        let mut theirs = gguf(&fixture(&format!("{name}.gguf")));
        assert_eq!(
            ours.gguf().tensors.len(),
            theirs.gguf().tensors.len(),
            "{name}"
        );
        for index in 0..theirs.gguf().tensors.len() {
            let want = theirs.gguf().tensors[index].clone();
            let place = { ours.gguf().tensors.iter() }.position(|info| info.name == want.name);
            let place = place.unwrap_or_else(|| panic!("{name} has no {}", want.name));
            let got = ours.gguf().tensors[place].clone();
            assert_eq!(
                (&got.shape, got.dtype),
                (&want.shape, want.dtype),
                "{name} {}",
                want.name
            );
            let (got, want_bytes) = (ours.read(place).unwrap(), theirs.read(index).unwrap());
            match want.name.as_str() {
                // Computed, here and there.
                "rope_freqs.weight" => {
                    let floats = |bytes: &[u8]| {
                        let mut floats = vec![0.0; bytes.len() / 4];
                        dequantize(TensorType::F32, bytes, &mut floats).unwrap();
                        floats
                    };
                    for (got, want) in floats(&got).iter().zip(floats(&want_bytes)) {
                        assert!((got / want - 1.0).abs() < 1e-6, "{name}: {got} for {want}");
                    }
                }
                _ => assert!(got == want_bytes, "{name} {}", want.name),
            }
        }
        let ours = &ours.gguf().metadata;
        for (key, want) in theirs.gguf().metadata.iter() {
            let got = ours.get(key);
            // Explicit in the one file, and by the width and the heads in the other.
            let implied =
                key.ends_with("attention.key_length") || key.ends_with("attention.value_length");
            let implied = implied && got.is_none();
            // Our scores rank the merges, which say the same.
            let other_words = key == "tokenizer.ggml.scores" || key.starts_with("general.");
            if !implied && !other_words {
                assert_eq!(got, Some(want), "{name} {key}");
            }
        }
    }
}

#[test]
fn a_folder_its_conversion_and_its_gguf_file_answer_alike() {
    let scratch = TempDir::new().unwrap();
    for name in ["llama", "mistral", "qwen2", "qwen3"] {
        let (folder, file) = (fixture(name), fixture(&format!("{name}.gguf")));
        let converted = scratch.child(format!("{name}.gguf"));
        convert(&folder, &converted, &[]);
        let want = answer(&file, &[]);
        assert_eq!(answer(&folder, &[]), want, "{name}");
        assert_eq!(answer(&converted, &[]), want, "{name}");
    }
}

/// Quantized while it is loaded or before: the same model.
#[test]
fn quantizing_at_load_is_converting_first() {
    let scratch = TempDir::new().unwrap();
    for (name, to) in [("llama", "q8_0"), ("qwen3", "q4_0")] {
        let converted = scratch.child(format!("{name}-{to}.gguf"));
        convert(&fixture(name), &converted, &["--quantize", to]);
        let file = gguf(&converted);
        for info in &file.gguf().tensors {
            let matrix = info.shape.len() == 2;
            assert_eq!(
                info.dtype.name().eq_ignore_ascii_case(to),
                matrix,
                "{}",
                info.name
            );
        }
        let at_load = answer(&fixture(name), &["--quantize", to]);
        assert_eq!(at_load, answer(&converted, &[]), "{name}");
        let of_file = answer(&fixture(&format!("{name}.gguf")), &["--quantize", to]);
        assert_eq!(at_load, of_file, "{name}");
        fails(
            &[
                "generate",
                "--model",
                str(&converted),
                "--quantize",
                "q8_0",
                "--device",
                "cpu",
                "x",
            ],
            if to == "q8_0" { 0 } else { 3 },
            if to == "q8_0" { &[] } else { &["Q4_0 already"] },
        );
    }
}

#[test]
fn convert_writes_over_nothing_and_leaves_nothing() {
    let scratch = TempDir::new().unwrap();
    let output = scratch.child("model.gguf");
    fs::write(&output, "mine").unwrap();
    let (from, to) = (fixture("qwen3"), output.clone());
    fails(
        &["models", "convert", str(&from), str(&to)],
        2,
        &["--force"],
    );
    assert_eq!(fs::read(&output).unwrap(), b"mine");
    convert(&from, &to, &["--force", "--quantize", "f32"]);
    assert!(
        gguf(&output)
            .gguf()
            .tensors
            .iter()
            .all(|info| info.dtype == TensorType::F32)
    );
    let missing = scratch.child("missing.gguf");
    fails(
        &[
            "models",
            "convert",
            str(&missing),
            str(&scratch.child("b.gguf")),
        ],
        3,
        &["no such file"],
    );
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
}

#[test]
fn broken_folders_are_refused_with_what_is_wrong() {
    let generate = |folder: &TempDir, says: &[&str]| {
        let model = str(folder.path()).to_owned();
        fails(
            &["generate", "--device", "cpu", "--model", &model, "x"],
            3,
            says,
        );
    };
    let shard = copy("qwen2");
    fs::remove_file(shard.child("model-00002-of-00002.safetensors")).unwrap();
    generate(
        &shard,
        &[
            "no model-00002-of-00002.safetensors",
            "tensors",
            "incomplete",
        ],
    );

    let cut = copy("llama");
    let weights = cut.child("model.safetensors");
    let bytes = fs::read(&weights).unwrap();
    fs::write(&weights, &bytes[..bytes.len() - 1]).unwrap();
    generate(&cut, &["model.safetensors", "downloaded in full"]);

    let encoder = copy("llama");
    let config = encoder.child("config.json");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("LlamaForCausalLM", "BertForMaskedLM")).unwrap();
    generate(
        &encoder,
        &["BertForMaskedLM", "encoder-only", "can't generate"],
    );

    let other = copy("qwen3");
    let tokenizer = other.child("tokenizer.json");
    let text = fs::read_to_string(&tokenizer).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let vocab = json["model"]["vocab"].as_object_mut().unwrap();
    let more = vocab.len();
    vocab.insert("one too many".to_owned(), more.into());
    fs::write(&tokenizer, json.to_string()).unwrap();
    generate(&other, &["tokenizer has 289 tokens", "embedding 288"]);

    let reward = copy("reward-llama");
    generate(&reward, &["reward model"]);
    let empty = TempDir::new().unwrap();
    generate(&empty, &["not a file"]);
}

/// The tensors of a fixture in three files, as ggml's `gguf-split` has them.
fn split(name: &str, to: &TempDir) -> Vec<PathBuf> {
    let mut source = gguf(&fixture(&format!("{name}.gguf")));
    let tensors = source.gguf().tensors.clone();
    let size = tensors.len().div_ceil(3);
    let mut files = Vec::new();
    for (no, part) in tensors.chunks(size).enumerate() {
        let mut writer = GgufWriter::new();
        if no == 0 {
            for (key, value) in source.gguf().metadata.iter() {
                writer.metadata(key, value.clone());
            }
        }
        writer
            .metadata("split.no", Value::U16(no as u16))
            .metadata("split.count", Value::U16(3))
            .metadata("split.tensors.count", Value::I32(tensors.len() as i32));
        for (index, info) in part.iter().enumerate() {
            let bytes = source.read(no * size + index).unwrap();
            writer.tensor(info.name.as_str(), info.shape.clone(), info.dtype, bytes);
        }
        let path = to.child(format!("{name}-{:05}-of-00003.gguf", no + 1));
        writer.write(&mut File::create(&path).unwrap()).unwrap();
        files.push(path);
    }
    files
}

#[test]
fn a_split_file_is_read_from_any_of_its_parts() {
    let scratch = TempDir::new().unwrap();
    let files = split("qwen2", &scratch);
    let want = answer(&fixture("qwen2.gguf"), &[]);
    assert_eq!(answer(&files[0], &[]), want);
    assert_eq!(answer(&files[2], &[]), want);
    let whole = scratch.child("whole.gguf");
    convert(&files[1], &whole, &[]);
    let (ours, theirs) = (gguf(&whole), gguf(&fixture("qwen2.gguf")));
    assert!(
        ours.gguf().metadata == theirs.gguf().metadata,
        "split.* is gone, the rest is there"
    );
    assert_eq!(answer(&whole, &[]), want);

    let generate = |file: &Path, says: &[&str]| {
        fails(
            &["generate", "--device", "cpu", "--model", str(file), "x"],
            3,
            says,
        );
    };
    let renamed = scratch.child("renamed.gguf");
    fs::copy(&files[1], &renamed).unwrap();
    generate(&renamed, &["-00002-of-00003.gguf"]);
    fs::copy(&files[0], &files[1]).unwrap();
    generate(&files[0], &["00002-of-00003.gguf", "file 1 of 3"]);
    fs::remove_file(&files[1]).unwrap();
    generate(
        &files[0],
        &["qwen2-00002-of-00003.gguf is missing", "3 files"],
    );
}

/// A header's vocabulary is compared with the model before any weight is read.
#[test]
fn a_gguf_file_with_another_vocabulary_is_refused() {
    let scratch = TempDir::new().unwrap();
    let mut source = gguf(&fixture("qwen3.gguf"));
    let header: Gguf = source.gguf().clone();
    let mut writer = GgufWriter::new();
    for (key, value) in header.metadata.iter() {
        let value = match (key, value) {
            ("tokenizer.ggml.tokens", Value::Array(Array::Strings(tokens))) => {
                let more = std::iter::once("one too many".to_owned());
                Value::Array(Array::Strings(tokens.iter().cloned().chain(more).collect()))
            }
            ("tokenizer.ggml.token_type", Value::Array(Array::I32(types))) => {
                Value::Array(Array::I32(types.iter().copied().chain([1]).collect()))
            }
            (_, value) => value.clone(),
        };
        writer.metadata(key, value);
    }
    for (index, info) in header.tensors.iter().enumerate() {
        let bytes = source.read(index).unwrap();
        writer.tensor(info.name.as_str(), info.shape.clone(), info.dtype, bytes);
    }
    let path = scratch.child("other.gguf");
    writer.write(&mut File::create(&path).unwrap()).unwrap();
    let args = ["generate", "--device", "cpu", "--model", str(&path), "x"];
    fails(&args, 3, &["the tokenizer has 289 tokens", "288"]);
}

/// Values that a type can't hold are said with their place.
#[test]
fn a_value_that_a_type_cannot_hold_is_named() {
    let scratch = TempDir::new().unwrap();
    let mut source = gguf(&fixture("qwen3.gguf"));
    let header = source.gguf().clone();
    let mut writer = GgufWriter::new();
    for (key, value) in header.metadata.iter() {
        writer.metadata(key, value.clone());
    }
    for (index, info) in header.tensors.iter().enumerate() {
        let bytes = source.read(index).unwrap();
        let mut values = vec![0.0; info.shape.iter().product()];
        dequantize(info.dtype, &bytes, &mut values).unwrap();
        if info.name == "token_embd.weight" {
            values[70] = 1e30;
        }
        let bytes = quantize(TensorType::F32, &values).unwrap();
        writer.tensor(
            info.name.as_str(),
            info.shape.clone(),
            TensorType::F32,
            bytes,
        );
    }
    let (path, out) = (scratch.child("far.gguf"), scratch.child("out.gguf"));
    writer.write(&mut File::create(&path).unwrap()).unwrap();
    let args = [
        "models",
        "convert",
        str(&path),
        str(&out),
        "--quantize",
        "f16",
    ];
    fails(&args, 3, &["token_embd.weight", "element 70", "F16"]);
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
}

/// A template that asks for the day is told today's, or the one that was given; a trace says which.
#[test]
fn a_template_is_told_the_day() {
    let model = copy("qwen3");
    let template =
        "{% for m in messages %}{{ m.content }}{% endfor %} {{ strftime_now('%d %b %Y') }}";
    fs::write(model.child("chat_template.jinja"), template).unwrap();
    let trace = model.child("trace.jsonl");
    let args = [
        "generate",
        "--device",
        "cpu",
        "-n",
        "2",
        "--json",
        "--model",
        str(model.path()),
        "--trace",
        str(&trace),
        "--date",
        "2026-03-07",
        "the river",
    ];
    let told = json(&args);
    let ids: Vec<String> = { told["prompt_token_ids"]["base"].as_array().unwrap().iter() }
        .map(ToString::to_string)
        .collect();
    let mut args = vec!["detokenize", "--json", "--model", str(model.path())];
    args.extend(ids.iter().map(String::as_str));
    let text = json(&args)["text"].clone();
    assert_eq!(text, "the river 07 Mar 2026");
    let trace = fs::read_to_string(trace).unwrap();
    let header: serde_json::Value = serde_json::from_str(trace.lines().next().unwrap()).unwrap();
    assert_eq!(header["date"], "2026-03-07");

    // Without a day given, a day is told all the same.
    answer(model.path(), &[]);
    let wrong = [
        "generate",
        "--date",
        "7.3.2026",
        "--model",
        str(model.path()),
        "x",
    ];
    fails(&wrong, 2, &["write it as 2026-03-07"]);
}
