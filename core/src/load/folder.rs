//! A hub folder's tokenizer and chat template, in the words of a GGUF file.

use super::{LoadError, tokenizer::entries};
use crate::formats::gguf::Value;
use crate::formats::hub::{
    CONFIG, Folder, GENERATION_CONFIG, HubError, HubFiles, OpenFile, TOKENIZER_CONFIG,
};
use crate::text::TokenizerSpec;
use serde_json::Value as Json;
use std::io::{Read, Seek};

/// Reads a hub folder, its weights aside: what it gives is as good as the GGUF file that ggml's converter would make.
/// `name` is what the model is called; `open` opens the folder's files by name.
///
/// # Errors
///
/// [`LoadError::Source`] or [`LoadError::Text`] where the folder holds no model that we can run.
pub fn read_folder<R: Read + Seek>(
    name: &str,
    open: &mut OpenFile<'_, R>,
) -> Result<Folder<R>, LoadError> {
    let files = HubFiles::read(name, open)?;
    let mut spec = TokenizerSpec::from_json(&files.tokenizer, files.tokenizer_config.as_deref())?;
    let (tokens, rows) = (spec.tokens.len(), files.rows());
    if tokens > rows {
        return Err(HubError::Vocabulary { tokens, rows }.into());
    }
    // The tokenizer's own is what the chat template writes; the others end an answer, too.
    spec.ends = ends(&files)?;
    spec.eos = spec.eos.or(spec.ends.first().copied());
    let others = spec.ends.iter().filter(|end| Some(**end) != spec.eos);
    spec.eot = others.copied().next();
    let template = match (&files.chat_template, files.tokenizer_config.as_deref()) {
        (Some(template), _) => Some(template.clone()),
        (None, Some(config)) => template(TOKENIZER_CONFIG, config)?,
        (None, None) => None,
    };
    let template = match (template, &files.chat_template_json) {
        (None, Some(file)) => self::template("chat_template.json", file)?,
        (template, _) => template,
    };
    let mut entries = entries(spec, rows);
    if let Some(template) = template {
        entries.push((
            "tokenizer.chat_template".to_owned(),
            Value::String(template),
        ));
    }
    Ok(files.finish(entries)?)
}

/// The tokens that end an answer: of `generation_config.json`, else of `config.json`.
fn ends<R>(files: &HubFiles<R>) -> Result<Vec<u32>, HubError> {
    let of = |file, text: &str| -> Result<Vec<u32>, HubError> {
        let json = parse(file, text)?;
        let whole = |id: &f64| id.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(id);
        let id = |value: &Json| value.as_f64().filter(whole).map(|id| id as u32);
        Ok(match json.get("eos_token_id") {
            Some(Json::Array(ids)) => ids.iter().filter_map(id).collect(),
            Some(value) => id(value).into_iter().collect(),
            None => Vec::new(),
        })
    };
    if let Some(text) = &files.generation_config {
        let ends = of(GENERATION_CONFIG, text)?;
        if !ends.is_empty() {
            return Ok(ends);
        }
    }
    of(CONFIG, &files.config)
}

/// The chat template that a file of JSON holds: a text, or several with names, of which it is "default", or the only one.
fn template(file: &'static str, text: &str) -> Result<Option<String>, HubError> {
    let json = parse(file, text)?;
    let text = |value: &Json| value.as_str().map(str::to_owned);
    Ok(match json.get("chat_template") {
        Some(Json::Array(named)) => {
            let default = named.iter().find(|one| one["name"] == "default");
            let only = named.first().filter(|_| named.len() == 1);
            default.or(only).and_then(|one| text(&one["template"]))
        }
        Some(Json::Object(named)) => {
            let only = named.values().next().filter(|_| named.len() == 1);
            named.get("default").or(only).and_then(text)
        }
        Some(value) => text(value),
        None => None,
    })
}

fn parse(file: &'static str, text: &str) -> Result<Json, HubError> {
    serde_json::from_str(text).map_err(|error| HubError::Damaged {
        file,
        problem: error.to_string(),
    })
}
