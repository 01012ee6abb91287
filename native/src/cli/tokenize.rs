//! `periapt tokenize` and `periapt detokenize`: no model is loaded, only the file's header read.

use super::args::{DetokenizeArgs, TokenizeArgs};
use super::{input, model_path, print_json};
use crate::terminal;
use anyhow::Context;
use periapt_core::load::tokenizer_spec;
use periapt_core::text::Tokenizer;
use serde_json::json;
use std::io::Write;

pub fn tokenize(args: &TokenizeArgs) -> anyhow::Result<()> {
    let text = input::exact(&args.text)?;
    let tokenizer = tokenizer(args.model.as_deref())?;
    let ids = match args.parse_special {
        true => tokenizer.encode_with_special(&text),
        false => tokenizer.encode(&text),
    }
    .map_err(periapt_core::Error::from)?;
    let pieces = || {
        ids.iter()
            .map(|id| tokenizer.piece(*id).unwrap_or_default())
    };
    if args.json {
        let pieces: Vec<_> = pieces().collect();
        return print_json(&json!({ "token_ids": ids, "pieces": pieces }));
    }
    let mut out = terminal::report();
    for (id, piece) in ids.iter().zip(pieces()) {
        writeln!(out, "{id:>7}  {piece:?}")?;
    }
    Ok(())
}

pub fn detokenize(args: &DetokenizeArgs) -> anyhow::Result<()> {
    let text = tokenizer(args.model.as_deref())?
        .decode(&args.ids)
        .map_err(|error| super::Usage(error.to_string()))?;
    if args.json {
        return print_json(&json!({ "text": text }));
    }
    writeln!(terminal::answer(), "{text}")?;
    Ok(())
}

fn tokenizer(model: Option<&str>) -> anyhow::Result<Tokenizer> {
    let path = model_path(model)?;
    let source = super::source::open(&path)?;
    let read = || -> Result<Tokenizer, periapt_core::Error> {
        Ok(Tokenizer::new(tokenizer_spec(&source.gguf().metadata)?)?)
    };
    read().with_context(|| format!("cannot load {}", path.display()))
}
