#![allow(clippy::unwrap_used)]

use super::*;
use serde_json::{Value as Json, json};
use std::io::Cursor;

/// A folder in memory.
#[derive(Clone)]
struct Files(HashMap<String, Vec<u8>>);

const WIDTH: usize = 8;
const HEADS: usize = 2;

fn config() -> Json {
    json!({
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": WIDTH, "num_attention_heads": HEADS, "num_key_value_heads": 1,
        "num_hidden_layers": 1, "intermediate_size": 16, "max_position_embeddings": 32,
        "rms_norm_eps": 1e-5, "hidden_act": "silu", "rope_theta": 10000,
    })
}

/// A file of tensors of one type, the values counted up.
fn weights_of(tensors: &[(&str, &[usize])], dtype: &str) -> Vec<u8> {
    let size = if dtype == "F32" { 4 } else { 2 };
    let (mut header, mut data) = (serde_json::Map::new(), Vec::<u8>::new());
    for (name, shape) in tensors {
        let begin = data.len();
        for number in 0..shape.iter().product::<usize>() {
            let bytes = (number as f32).to_le_bytes();
            data.extend(&bytes[4 - size..]);
        }
        header.insert(
            (*name).to_owned(),
            json!({ "dtype": dtype, "shape": shape, "data_offsets": [begin, data.len()] }),
        );
    }
    let header = Json::Object(header).to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend(data);
    file
}

const TENSORS: [(&str, &[usize]); 6] = [
    ("lm_head.weight", &[5, WIDTH]),
    ("model.embed_tokens.weight", &[5, WIDTH]),
    ("model.layers.0.self_attn.q_proj.weight", &[WIDTH, WIDTH]),
    ("model.layers.0.self_attn.v_proj.weight", &[4, WIDTH]),
    ("model.layers.0.self_attn.rotary_emb.inv_freq", &[2]),
    ("model.norm.weight", &[WIDTH]),
];

impl Files {
    fn new(config: &Json, dtype: &str) -> Self {
        Self(HashMap::from([
            ("config.json".to_owned(), config.to_string().into_bytes()),
            ("tokenizer.json".to_owned(), b"{}".to_vec()),
            (WEIGHTS.to_owned(), weights_of(&TENSORS, dtype)),
        ]))
    }

    fn read(&self) -> Result<HubFiles<Cursor<Vec<u8>>>, HubError> {
        HubFiles::read("tiny", &mut |name| {
            Ok(self.0.get(name).cloned().map(Cursor::new))
        })
    }

    fn folder(&self) -> Folder<Cursor<Vec<u8>>> {
        self.read().unwrap().finish(Vec::new()).unwrap()
    }

    fn error(&self) -> String {
        self.read().unwrap_err().to_string()
    }
}

fn with(changes: Json) -> Json {
    let mut config = config();
    let Json::Object(changes) = changes else {
        panic!()
    };
    for (key, value) in changes {
        config[key] = value;
    }
    config
}

fn refused(changes: Json) -> String {
    Files::new(&with(changes), "F32").error()
}

fn floats(folder: &mut Folder<Cursor<Vec<u8>>>, name: &str) -> Vec<f32> {
    let index = { folder.gguf().tensors.iter() }.position(|info| info.name == name);
    let bytes = folder.read(index.unwrap()).unwrap();
    let (numbers, _) = bytes.as_chunks();
    numbers.iter().map(|n| f32::from_le_bytes(*n)).collect()
}

#[test]
fn a_folder_reads_as_a_gguf_file() {
    let mut folder = Files::new(&config(), "F32").folder();
    let names: Vec<&str> = { folder.gguf().tensors.iter() }
        .map(|info| info.name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "output.weight",
            "token_embd.weight",
            "blk.0.attn_q.weight",
            "blk.0.attn_v.weight",
            "output_norm.weight"
        ]
    );
    let meta = &folder.gguf().metadata;
    assert_eq!(meta.str("general.architecture").unwrap(), "llama");
    assert_eq!(meta.u32("llama.attention.head_count_kv").unwrap(), 1);
    assert_eq!(meta.u32("llama.rope.dimension_count").unwrap(), 4);
    assert_eq!(meta.f32("llama.rope.freq_base").unwrap(), 10_000.0);
    let plain: Vec<f32> = (0..64).map(|n| n as f32).collect();
    assert_eq!(floats(&mut folder, "token_embd.weight"), plain[..40]);
    assert_eq!(floats(&mut folder, "blk.0.attn_v.weight"), plain[..32]);
    // Head by head: rows 0, 2, 1, 3 of the four that a head has.
    let rows: Vec<f32> = [0, 2, 1, 3, 4, 6, 5, 7]
        .iter()
        .flat_map(|row| &plain[row * 8..][..8])
        .copied()
        .collect();
    assert_eq!(floats(&mut folder, "blk.0.attn_q.weight"), rows);
}

#[test]
fn qwen_rows_stay_and_norms_become_f32() {
    let config = with(json!({ "architectures": ["Qwen3ForCausalLM"], "head_dim": 4 }));
    let mut folder = Files::new(&config, "BF16").folder();
    let types: Vec<TensorType> = { folder.gguf().tensors.iter() }
        .map(|info| info.dtype)
        .collect();
    let matrix = TensorType::BF16;
    assert_eq!(types, [matrix, matrix, matrix, matrix, TensorType::F32]);
    assert_eq!(
        folder
            .gguf()
            .metadata
            .u32("qwen3.attention.key_length")
            .unwrap(),
        4
    );
    let norm = floats(&mut folder, "output_norm.weight");
    assert_eq!(norm, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
    let rows = folder.read(2).unwrap();
    let ordered: Vec<u8> = (0..64)
        .flat_map(|n| (n as f32).to_le_bytes()[2..].to_vec())
        .collect();
    assert_eq!(rows, ordered);
}

#[test]
fn a_tied_head_is_dropped_and_another_is_needed() {
    let tied = with(json!({ "tie_word_embeddings": true }));
    assert!(
        Files::new(&tied, "F32")
            .folder()
            .gguf()
            .tensor("output.weight")
            .is_none()
    );
    let mut headless = Files::new(&config(), "F32");
    headless
        .0
        .insert(WEIGHTS.to_owned(), weights_of(&TENSORS[1..], "F32"));
    assert!(headless.error().contains("no tensor lm_head.weight"));
    let classifier = json!({ "architectures": ["LlamaForSequenceClassification"] });
    assert!(refused(classifier).contains("no tensor score.weight"));
}

#[test]
fn rope_scalings_become_ggmls() {
    let scaled = |scaling: Json| {
        let folder = Files::new(&with(json!({ "rope_scaling": scaling })), "F32").folder();
        folder.gguf().metadata.clone()
    };
    let linear = scaled(json!({ "type": "linear", "factor": 2.0 }));
    assert_eq!(linear.str("llama.rope.scaling.type").unwrap(), "linear");
    assert_eq!(linear.f32("llama.rope.scaling.factor").unwrap(), 2.0);
    let yarn = scaled(
        json!({ "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8, "beta_fast": 16 }),
    );
    assert_eq!(
        yarn.u32("llama.rope.scaling.original_context_length")
            .unwrap(),
        8
    );
    assert_eq!(yarn.f32("llama.rope.scaling.yarn_beta_fast").unwrap(), 16.0);
    // The values that transformers 5.24 divides the frequencies by for this configuration (its modeling_rope_utils).
    let config = with(json!({ "head_dim": 4, "rope_parameters": {
        "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 16 } }));
    let mut folder = Files::new(&config, "F32").folder();
    let factors = floats(&mut folder, "rope_freqs.weight");
    // Wave 2 pi lies between 16 / 4 and 16 / 1, wave 200 pi beyond.
    let smooth = (16.0 / (2.0 * std::f64::consts::PI) - 1.0) / 3.0;
    let first = 1.0 / ((1.0 - smooth) / 8.0 + smooth);
    assert!((f64::from(factors[0]) - first).abs() < 1e-6, "{factors:?}");
    assert_eq!(factors[1..], [8.0]);
}

#[test]
fn what_cannot_run_is_refused_by_name() {
    for (changes, says) in [
        (
            json!({ "architectures": ["BertForMaskedLM"] }),
            "BertForMaskedLM is an encoder-only model",
        ),
        (json!({ "architectures": ["BertModel"] }), "can't generate"),
        (
            json!({ "architectures": ["T5ForConditionalGeneration"] }),
            "encoder-decoder",
        ),
        (
            json!({ "architectures": ["X"], "is_encoder_decoder": true }),
            "encoder-decoder",
        ),
        (
            json!({ "architectures": ["GPT2LMHeadModel"] }),
            "supported: LlamaForCausalLM",
        ),
        (json!({ "architectures": null }), "no architectures"),
        (
            json!({ "quantization_config": { "quant_method": "gptq" } }),
            "gptq",
        ),
        (json!({ "hidden_act": "gelu" }), "gelu"),
        (
            json!({ "rope_scaling": { "rope_type": "longrope" } }),
            "longrope",
        ),
        (
            json!({ "rope_scaling": { "type": "yarn", "factor": 2, "mscale": 1 } }),
            "mscale",
        ),
        (
            json!({ "partial_rotary_factor": 0.5 }),
            "partial_rotary_factor",
        ),
        (json!({ "hidden_size": null }), "no hidden_size"),
        (json!({ "hidden_size": -1 }), "whole number"),
        (json!({ "num_attention_heads": 0 }), "no heads"),
        (json!({ "num_attention_heads": 3 }), "3 heads"),
    ] {
        let error = refused(changes.clone());
        assert!(error.contains(says), "{changes}: {error}");
    }
    assert!(
        Files::new(&json!([]), "F32")
            .error()
            .contains("architectures")
    );
    let error = Files::new(&config(), "I16").error();
    assert!(
        error.contains("lm_head.weight is I16 (supported: F32, F16, BF16)"),
        "{error}"
    );
    let mut files = Files::new(&config(), "F32");
    files.0.insert(
        WEIGHTS.to_owned(),
        weights_of(&[TENSORS[0], ("model.visual.weight", &[1])], "F32"),
    );
    assert!(files.error().contains("model.visual.weight"));
    files
        .0
        .insert("config.json".to_owned(), "[".repeat(1 << 20).into_bytes());
    assert!(files.error().contains("config.json is damaged"));
}

#[test]
fn missing_files_are_named() {
    for (file, says) in [
        ("config.json", "no config.json"),
        ("tokenizer.json", "no tokenizer.json"),
        (WEIGHTS, "no model.safetensors"),
    ] {
        let mut files = Files::new(&config(), "F32");
        files.0.remove(file);
        assert!(files.error().contains(says), "{}", files.error());
    }
}

/// Known before any weight is there.
#[test]
fn the_files_of_weights_are_named_for_models_that_can_run() {
    let config = config().to_string();
    assert_eq!(weight_files(&config, None).unwrap(), [WEIGHTS]);
    let index =
        r#"{ "weight_map": { "b": "2.safetensors", "a": "1.safetensors", "c": "1.safetensors" } }"#;
    let files = weight_files(&config, Some(index)).unwrap();
    assert_eq!(files, ["1.safetensors", "2.safetensors"]);
    let bert = with(json!({ "architectures": ["BertForMaskedLM"] })).to_string();
    assert!(matches!(
        weight_files(&bert, None),
        Err(HubError::EncoderOnly(_))
    ));
    let elsewhere = r#"{ "weight_map": { "a": "../1.safetensors" } }"#;
    assert!(matches!(
        weight_files(&config, Some(elsewhere)),
        Err(HubError::Weights { .. })
    ));
}

#[test]
fn shards_are_joined_and_checked_against_the_index() {
    let mut files = Files::new(&config(), "F32");
    files.0.remove(WEIGHTS);
    let (a, b) = (
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    );
    files
        .0
        .insert(a.to_owned(), weights_of(&TENSORS[..2], "F32"));
    files
        .0
        .insert(b.to_owned(), weights_of(&TENSORS[2..], "F32"));
    let home = |index: usize| if index < 2 { a } else { b };
    let index = |home: &dyn Fn(usize) -> &'static str| {
        let map: serde_json::Map<String, Json> = { TENSORS.iter().enumerate() }
            .map(|(index, (name, _))| ((*name).to_owned(), json!(home(index))))
            .collect();
        json!({ "weight_map": map }).to_string().into_bytes()
    };
    files.0.insert(INDEX.to_owned(), index(&home));
    let mut folder = files.folder();
    assert_eq!(folder.gguf().tensors.len(), 5);
    assert_eq!(floats(&mut folder, "output_norm.weight")[7], 7.0);

    let mut missing = files.clone();
    missing.0.remove(b);
    let error = missing.error();
    assert!(
        error.contains(b) && error.contains("4 of the model's 6 tensors"),
        "{error}"
    );

    let mut other = files.clone();
    other.0.insert(
        INDEX.to_owned(),
        index(&|index| if index < 3 { a } else { b }),
    );
    assert!(
        other
            .error()
            .contains("has no tensor model.layers.0.self_attn.q_proj.weight")
    );

    files
        .0
        .insert(b.to_owned(), weights_of(&TENSORS[1..], "F32"));
    assert!(
        files
            .error()
            .contains("model.embed_tokens.weight is in two")
    );
}
