//! A hub folder's `tokenizer.json` and `tokenizer_config.json` to what a GGUF file would say.
//!
//! The files come from anywhere. serde_json bounds their nesting; bounded here are the length, the
//! number and kinds of the steps, the length of their patterns, and how much they can lengthen a
//! text.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::Value;
use tokenizers::normalizers::Sequence as Normalizers;
use tokenizers::{NormalizerWrapper, PreTokenizerWrapper};

use super::added::{Added, extended, flags, further};
use super::pre_tokenizer::PreTokenization;
use super::spec::{BYTE, CONTROL, MAX_ENTRIES, NORMAL, UNKNOWN, UNUSED, USER_DEFINED, byte_of};
use super::{TextError, TokenizerSpec};

/// Bytes of a tokenizer.json; Gemma 3's has 33 MB.
const MAX_JSON: usize = 1 << 26;
/// Ids without a token.
const MAX_HOLES: usize = 1 << 16;
/// Steps of a normalizer or pre-tokenizer, and how deep they may be nested.
const MAX_STEPS: usize = 16;
/// Bytes of a step.
const MAX_STEP: usize = 4096;
/// How many times longer the steps together can make a text, about.
const MAX_GROWTH: usize = 256;

/// The kinds of steps that can be used. The others belong to models that are not BPE, drop text
/// without a word, or trust their parameters.
const NORMALIZERS: [&str; 6] = ["NFC", "NFD", "NFKC", "NFKD", "Replace", "Prepend"];
const PRE_TOKENIZERS: [&str; 5] = ["ByteLevel", "Digits", "Metaspace", "Punctuation", "Split"];

/// What is done to a text: the file without its vocabulary.
#[derive(Deserialize)]
struct Steps {
    normalizer: Option<Value>,
    pre_tokenizer: Option<Value>,
    decoder: Option<Value>,
    model: ModelKind,
}

#[derive(Deserialize)]
struct ModelKind {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    byte_fallback: Option<bool>,
    #[serde(default)]
    ignore_merges: Option<bool>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
}

#[derive(Deserialize)]
struct Vocabulary {
    #[serde(default)]
    added_tokens: Vec<Added>,
    post_processor: Option<Value>,
    model: Bpe,
}

#[derive(Deserialize)]
struct Bpe {
    vocab: HashMap<String, u32>,
    merges: Merges,
    unk_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Merges {
    Lines(Vec<String>),
    Pairs(Vec<(String, String)>),
}

/// The fields of `tokenizer_config.json` that we use.
#[derive(Default, Deserialize)]
struct Config {
    bos_token: Option<Value>,
    eos_token: Option<Value>,
    add_bos_token: Option<bool>,
    added_tokens_decoder: Option<BTreeMap<u32, Added>>,
}

impl TokenizerSpec {
    /// Reads the texts of a hub folder's `tokenizer.json` and, where there is one,
    /// `tokenizer_config.json`: byte-level BPE, or BPE with byte tokens and `▁` for spaces. Where
    /// what is done to a text before the merges has no name in GGUF, the whole `tokenizer_json` is
    /// kept in [`TokenizerSpec::json`]. `scores` are made from the order of the merges, for other
    /// readers of GGUF.
    ///
    /// # Errors
    /// [`TextError::Json`] where they can't be read, break a limit, or describe a tokenizer that
    /// we can't build.
    pub fn from_json(
        tokenizer_json: &str,
        tokenizer_config_json: Option<&str>,
    ) -> Result<Self, TextError> {
        let (model, pre) = read_steps(tokenizer_json)?;
        let Vocabulary {
            mut added_tokens,
            post_processor,
            model: bpe,
        } = parse(tokenizer_json)?;
        let config: Config = match tokenizer_config_json {
            Some(text) => parse(text)?,
            None => Config::default(),
        };
        let further = further(config.added_tokens_decoder, &added_tokens, &bpe.vocab);
        let extended = match further.is_empty() {
            true => None,
            false => Some(extended(tokenizer_json, &further)?),
        };
        added_tokens.extend(further);

        let (tokens, token_types) = tokens(&bpe, &added_tokens, model)?;
        let ids: HashMap<&str, u32> = tokens.iter().map(String::as_str).zip(0u32..).collect();
        let id_of = |token: Option<&Value>| {
            let text = token.and_then(|t| t.as_str().or(t["content"].as_str()));
            text.and_then(|text| ids.get(text).copied())
        };
        let begins = post_processor.as_ref().and_then(|p| first_token(p, &ids));
        let bos = id_of(config.bos_token.as_ref()).or(begins);
        let add_bos = config
            .add_bos_token
            .unwrap_or(begins.is_some() && begins == bos);
        let mut spec = Self {
            model: model.to_owned(),
            bos,
            eos: id_of(config.eos_token.as_ref()),
            unknown: bpe.unk_token.as_deref().and_then(|t| ids.get(t).copied()),
            add_bos: add_bos && bos.is_some(),
            merges: merges(bpe.merges)?,
            flags: flags(&added_tokens, pre.normalizer.is_some()),
            ..Self::default()
        };
        if model == "llama" {
            spec.scores = Some(scores(&spec.merges, &ids, tokens.len()));
        }
        let mut said = spec.flags.is_empty();
        match (model, pre.name(), pre.is_spaces()) {
            ("gpt2", Some(name), _) => spec.pre = Some(name.to_owned()),
            ("llama", _, Some(prefix)) => spec.add_space_prefix = prefix,
            _ => {
                spec.add_space_prefix = pre.drops_first_space;
                said = false;
            }
        }
        if !said {
            spec.json = Some(extended.unwrap_or_else(|| tokenizer_json.to_owned()));
        }
        (spec.tokens, spec.token_types) = (tokens, Some(token_types));
        Ok(spec)
    }
}

impl PreTokenization {
    /// What the text of a tokenizer.json says, for a vocabulary of the kind `model`.
    pub(super) fn from_json(json: &str, model: &str) -> Result<Self, TextError> {
        let (kind, pre) = read_steps(json)?;
        match kind == model {
            true => Ok(pre),
            false => Err(refused(format!(
                "it is of the kind {kind}, and not {model}"
            ))),
        }
    }
}

pub(super) fn refused(what: String) -> TextError {
    TextError::Json(what)
}

pub(super) fn parse<'t, T: Deserialize<'t>>(text: &'t str) -> Result<T, TextError> {
    if text.len() > MAX_JSON {
        let length = text.len();
        return Err(refused(format!(
            "{length} bytes, more than the limit of {MAX_JSON}"
        )));
    }
    serde_json::from_str(text).map_err(|e| refused(e.to_string()))
}

/// The kind of vocabulary, in GGUF's words, and what is done to a text.
fn read_steps(json: &str) -> Result<(&'static str, PreTokenization), TextError> {
    let file: Steps = parse(json)?;
    let model = file.model;
    match model.kind.as_deref() {
        Some("BPE") => {}
        Some("WordPiece") => {
            return Err(refused(
                "its model is WordPiece, as encoder-only models have it; a model that writes text \
                 has BPE"
                    .to_owned(),
            ));
        }
        kind => {
            let kind = kind.unwrap_or("of no type");
            return Err(refused(format!(
                "its model is {kind}, and only BPE is built"
            )));
        }
    }
    for (name, value) in [
        ("continuing_subword_prefix", model.continuing_subword_prefix),
        ("end_of_word_suffix", model.end_of_word_suffix),
    ] {
        if value.is_some_and(|value| !value.is_empty()) {
            return Err(refused(format!("its {name} is not supported")));
        }
    }

    let normalizers = steps(file.normalizer.as_ref(), "normalizer", &NORMALIZERS)?;
    let mut growths = normalizers.iter().map(|step| growth(step));
    let growth = growths.try_fold(1usize, |all, one| Ok(all.saturating_mul(one?)))?;
    if growth > MAX_GROWTH {
        return Err(refused("its normalizer makes texts too long".to_owned()));
    }
    let normalizers = normalizers
        .into_iter()
        .map(|step| serde_json::from_value(step.clone()).map_err(|e| refused(e.to_string())))
        .collect::<Result<Vec<NormalizerWrapper>, _>>()?;
    let normalizer = (!normalizers.is_empty()).then(|| Normalizers::new(normalizers).into());

    let described = steps(
        file.pre_tokenizer.as_ref(),
        "pre_tokenizer",
        &PRE_TOKENIZERS,
    )?;
    let has = |kind: &str| described.iter().any(|step| step["type"] == kind);
    let kind = match (has("ByteLevel"), model.byte_fallback) {
        (true, _) => "gpt2",
        (false, Some(true)) => "llama",
        _ => {
            return Err(refused(
                "its BPE is neither byte-level nor has byte_fallback".to_owned(),
            ));
        }
    };
    let built = described
        .iter()
        .map(|step| serde_json::from_value((*step).clone()).map_err(|e| refused(e.to_string())))
        .collect::<Result<Vec<PreTokenizerWrapper>, _>>()?;
    let mut pre = PreTokenization::of(normalizer, built, model.ignore_merges == Some(true));
    pre.drops_first_space = drops_first_space(file.decoder.as_ref());
    Ok((kind, pre))
}

/// The steps that a normalizer or a pre-tokenizer consists of, all of them `known`.
fn steps<'v>(
    value: Option<&'v Value>,
    what: &str,
    known: &[&str],
) -> Result<Vec<&'v Value>, TextError> {
    let (mut found, mut rest, mut seen) = (Vec::new(), Vec::new(), 0);
    rest.extend(value.filter(|value| !value.is_null()));
    while let Some(step) = rest.pop() {
        seen += 1;
        let kind = step["type"].as_str().unwrap_or("of no type");
        if seen > 2 * MAX_STEPS || found.len() >= MAX_STEPS {
            return Err(refused(format!("its {what} has too many steps")));
        }
        if kind == "Sequence" {
            let inner = step.get("normalizers").or(step.get("pretokenizers"));
            let inner = inner.and_then(Value::as_array).map(Vec::as_slice);
            if inner.is_some_and(|inner| inner.len() > MAX_STEPS) {
                return Err(refused(format!("its {what} has too many steps")));
            }
            rest.extend(inner.unwrap_or_default().iter().rev());
        } else if !known.contains(&kind) {
            return Err(refused(format!("its {what} {kind} is not supported")));
        } else if step.to_string().len() > MAX_STEP {
            return Err(refused(format!("its {what} {kind} is too long")));
        } else {
            found.push(step);
        }
    }
    Ok(found)
}

/// How many times longer a step of a normalizer can make a text.
fn growth(step: &Value) -> Result<usize, TextError> {
    let length = |text: &Value| text.as_str().map_or(1, |text| text.len().max(1));
    match step["type"].as_str() {
        Some("Replace") => match step["pattern"]["String"].as_str() {
            Some(pattern) if !pattern.is_empty() => {
                Ok(length(&step["content"]).div_ceil(pattern.len()))
            }
            _ => Err(refused(
                "its normalizer Replace has no plain pattern".to_owned(),
            )),
        },
        Some("Prepend") if length(&step["prepend"]) > 64 => Err(refused(
            "its normalizer Prepend has too long a text".to_owned(),
        )),
        _ => Ok(1),
    }
}

/// Whether a decoder leaves out a space at the text's beginning.
fn drops_first_space(decoder: Option<&Value>) -> bool {
    let Some(decoder) = decoder else { return false };
    let inner = decoder["decoders"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    inner.iter().chain([decoder]).any(|step| {
        let kind = step["type"].as_str();
        let strips = kind == Some("Strip") && step["start"].as_u64() >= Some(1);
        // Older files say it otherwise.
        let never = step["prepend_scheme"] == "never" || step["add_prefix_space"] == false;
        strips || (kind == Some("Metaspace") && !never)
    })
}

/// The token that a post-processor puts in front.
fn first_token(post_processor: &Value, ids: &HashMap<&str, u32>) -> Option<u32> {
    let inner = post_processor["processors"].as_array();
    let inner = inner.map_or(&[][..], Vec::as_slice);
    let template =
        (inner.iter().chain([post_processor])).find(|step| step["type"] == "TemplateProcessing")?;
    let name = template["single"][0]["SpecialToken"]["id"].as_str()?;
    let id = template["special_tokens"][name]["ids"][0].as_u64();
    let id = id.and_then(|id| u32::try_from(id).ok());
    id.or_else(|| ids.get(name).copied())
}

/// The tokens by id, and their types.
fn tokens(bpe: &Bpe, added: &[Added], model: &str) -> Result<(Vec<String>, Vec<i32>), TextError> {
    let mut given: HashMap<u32, (&str, i32)> = HashMap::with_capacity(bpe.vocab.len());
    for (token, id) in &bpe.vocab {
        let kind = match byte_of(token) {
            Some(_) if model == "llama" => BYTE,
            _ if bpe.unk_token.as_ref() == Some(token) => UNKNOWN,
            _ => NORMAL,
        };
        if let Some((other, _)) = given.insert(*id, (token, kind)) {
            return Err(refused(format!(
                "{other:?} and {token:?} are both token {id}"
            )));
        }
    }
    for token in added {
        let kind = match token.special {
            true => CONTROL,
            false => USER_DEFINED,
        };
        let before = given.insert(token.id, (&token.content, kind));
        if let Some((other, _)) = before.filter(|(other, _)| *other != token.content) {
            return Err(refused(format!(
                "{other:?} and {:?} are both token {}",
                token.content, token.id
            )));
        }
    }
    let count = given.keys().max().map_or(0, |id| u64::from(*id) + 1);
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count > MAX_ENTRIES || count - given.len() > MAX_HOLES {
        let given = given.len();
        return Err(refused(format!("{given} tokens have ids up to {count}")));
    }
    let by_id = (0u32..).take(count).map(|id| match given.get(&id) {
        Some((text, kind)) => ((*text).to_owned(), *kind),
        None => (TokenizerSpec::padding(id as usize), UNUSED),
    });
    Ok(by_id.unzip())
}

/// The merges in GGUF's words.
fn merges(merges: Merges) -> Result<Vec<String>, TextError> {
    match merges {
        Merges::Lines(mut lines) => {
            lines.retain(|line| !line.starts_with("#version"));
            Ok(lines)
        }
        Merges::Pairs(pairs) => (pairs.into_iter())
            .map(
                |(left, right)| match left.contains(' ') || right.contains(' ') {
                    true => Err(refused(format!(
                        "the merge of {left:?} and {right:?} holds a space"
                    ))),
                    false => Ok(format!("{left} {right}")),
                },
            )
            .collect(),
    }
}

/// Scores that put the merges in the order that they have.
fn scores(merges: &[String], ids: &HashMap<&str, u32>, count: usize) -> Vec<f32> {
    let mut scores = vec![0.0; count];
    let mut score = 0.0;
    for merge in merges {
        let merged = merge.replacen(' ', "", 1);
        let id = ids
            .get(merged.as_str())
            .and_then(|id| usize::try_from(*id).ok());
        if let Some(first) = id.and_then(|id| scores.get_mut(id))
            && *first == 0.0
        {
            score -= 1.0;
            *first = score;
        }
    }
    scores
}
