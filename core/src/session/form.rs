//! Structured output: an answer that is JSON of a schema, by llguidance (<https://github.com/guidance-ai/llguidance>).
//!
//! What may not come next is masked in the logits of every stream, before they are weighed: no strength can break the form, and a
//! guard chooses among what may come.

use super::generate::Answer;
use super::{Error, Session};
use burn::tensor::{Tensor, TensorData};
use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{ApproximateTokEnv, TokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};
use serde_json::{Value, json};
use std::fmt;
use std::sync::{Arc, OnceLock};

/// How far an answer's JSON is.
pub(super) struct Form {
    /// None once the schema asked for more than the library will compute: then the answer ends.
    matcher: Option<Matcher>,
    /// The token that ends an answer.
    end: u32,
}

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Form")
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

impl Form {
    /// Takes the token that was chosen.
    pub fn push(&mut self, id: u32) {
        self.matcher
            .take_if(|matcher| matcher.consume_token(id).is_err());
    }

    /// Whether the answer had to end before its JSON did.
    pub fn is_broken(&self) -> bool {
        self.matcher.is_none()
    }

    /// Minus infinity for all of the vocabulary that may not come next.
    fn mask(&mut self, row: &mut [f32]) {
        let allowed = self.matcher.as_mut().map(Matcher::compute_mask_or_eos);
        let allowed = match allowed {
            Some(Ok(allowed)) => Some(allowed),
            Some(Err(_)) => {
                self.matcher = None;
                None
            }
            None => None,
        };
        for (id, value) in (0..).zip(row) {
            let may = match &allowed {
                Some(allowed) => allowed.is_allowed(id),
                None => id == self.end,
            };
            if !may {
                *value = f32::NEG_INFINITY;
            }
        }
    }
}

/// What is wrong with a schema, without the library's own state behind it.
fn wrong(error: impl fmt::Display) -> Error {
    let message = error.to_string();
    Error::Schema(message.lines().next().unwrap_or_default().trim().to_owned())
}

/// Makes forms for a model's tokens; made itself when it is first wanted.
#[derive(Default)]
pub(super) struct Forms(OnceLock<ParserFactory>);

impl fmt::Debug for Forms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Forms").finish_non_exhaustive()
    }
}

impl Session {
    /// An answer's form by a JSON schema, before its first token.
    ///
    /// # Errors
    ///
    /// [`Error::Schema`] for what is no schema, or asks for what can't be kept to; [`Error::NoEnd`] where the model has no
    /// token that ends an answer.
    pub(super) fn form(&self, schema: &Value) -> Result<Form, Error> {
        let forms = match self.forms.0.get() {
            Some(forms) => forms,
            None => {
                let made = self.new_forms()?;
                self.forms.0.get_or_init(|| made)
            }
        };
        let mut schema = schema.clone();
        match &mut schema {
            // Between two tokens of JSON there is one space or none: a model that leans may go on with spaces for ever.
            Value::Object(fields) => fields.insert(
                "x-guidance".to_owned(),
                json!({ "whitespace_flexible": false, "item_separator": ", ", "key_separator": ": ", "coerce_one_of": true }),
            ),
            _ => return Err(Error::Schema("a JSON schema is an object".to_owned())),
        };
        let parser = forms.create_parser(TopLevelGrammar::from_json_schema(schema));
        Ok(Form {
            matcher: Some(Matcher::new(Ok(parser.map_err(wrong)?))),
            end: forms.tok_env().tok_trie().eos_token(),
        })
    }

    fn new_forms(&self) -> Result<ParserFactory, Error> {
        let end = self.end_of_turn().ok_or(Error::NoEnd)?;
        let vocab = self.decoder.config().vocab as u32;
        let tokenizer = self.tokenizer();
        let bytes = |id: u32| match tokenizer.is_control(id) {
            true => {
                let name = tokenizer.piece(id).unwrap_or_default();
                [&[TokTrie::SPECIAL_TOKEN_MARKER], name.as_bytes()].concat()
            }
            false => tokenizer.token_bytes(id).unwrap_or_default().into_owned(),
        };
        let words: Vec<Vec<u8>> = (0..vocab).map(bytes).collect();
        let trie = TokTrie::from(&TokRxInfo::new(vocab, end), &words);
        let tokens: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let mut forms = ParserFactory::new_simple(&tokens).map_err(wrong)?;
        forms.quiet();
        Ok(forms)
    }
}

/// The logits of these answers' streams, `[answers * streams, vocab]`, without what may not come next.
pub(super) fn masked(logits: Tensor<2>, answers: &mut [Answer<'_>], active: &[usize]) -> Tensor<2> {
    if active.iter().all(|place| answers[*place].form.is_none()) {
        return logits;
    }
    let [rows, vocab] = logits.dims();
    let mut mask = vec![0.0; active.len() * vocab];
    for (row, place) in mask.chunks_exact_mut(vocab).zip(active) {
        let answer = &mut answers[*place];
        if let Some(form) = answer.form.as_mut().filter(|_| !answer.done) {
            form.mask(row);
        }
    }
    let mask = TensorData::new(mask, [active.len(), 1, vocab]);
    let mask = Tensor::<3>::from_data(mask, &logits.device());
    let streams = rows / active.len();
    let masked = logits.reshape([active.len(), streams, vocab]) + mask;
    masked.reshape([rows, vocab])
}
