//! Texts to go on from: what `/v1/completions` is asked.

use super::error::ApiError;
use super::request::{Common, Telling, count, decoded, flag, nothing_else};
use periapt_core::session::GenerateRequest;
use serde_json::{Map, Value, json};

/// The most likely tokens that a client may ask for, or tokens by id: more than vocabularies have.
const MOST_IDS: u64 = 1 << 18;

/// Log-probabilities by token ids, as vLLM has them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ById {
    /// Tokens to tell in place of the likeliest ones.
    pub wanted: Vec<u32>,
    /// Whether tokens are called `token_id:ID`, since several may have the same text.
    pub names: bool,
}

/// A prompt to go on from.
#[derive(Debug, Clone, PartialEq)]
pub enum Prompt {
    Text(String),
    Ids(Vec<u32>),
}

/// Texts to go on from, `/v1/completions`.
pub struct CompletionRequest {
    pub prompts: Vec<Prompt>,
    /// Each prompt's answers.
    pub n: usize,
    /// Without its prompts.
    pub request: GenerateRequest,
    pub telling: Telling,
    /// Whether the prompt comes back before the answer.
    pub echo: bool,
    pub by_id: ById,
}

fn prompts(value: Option<Value>) -> Result<Vec<Prompt>, ApiError> {
    let wrong = || {
        let what =
            "prompt must be a text, a list of texts, a list of token ids, or a list of such lists";
        ApiError::field("prompt", what)
    };
    let ids = |list: &[Value]| -> Option<Prompt> {
        let id = |id: &Value| id.as_u64().and_then(|id| u32::try_from(id).ok());
        Some(Prompt::Ids(list.iter().map(id).collect::<Option<_>>()?))
    };
    let prompts = match value.ok_or_else(wrong)? {
        Value::String(text) => vec![Prompt::Text(text)],
        Value::Array(list) if list.first().is_some_and(Value::is_number) => {
            vec![ids(&list).ok_or_else(wrong)?]
        }
        Value::Array(list) => {
            let one = |value: &Value| match value {
                Value::String(text) => Some(Prompt::Text(text.clone())),
                Value::Array(list) => ids(list),
                _ => None,
            };
            list.iter()
                .map(one)
                .collect::<Option<_>>()
                .ok_or_else(wrong)?
        }
        _ => return Err(wrong()),
    };
    match prompts.is_empty() {
        true => Err(wrong()),
        false => Ok(prompts),
    }
}

/// Reads a completion's body, without its `model`.
pub fn read(mut rest: Map<String, Value>) -> Result<CompletionRequest, ApiError> {
    let Common {
        mut fields,
        mut telling,
    } = Common::take(&mut rest)?;
    let prompts = prompts(rest.remove("prompt"))?;
    telling.logprobs = count(&mut rest, "logprobs", MOST_IDS)?;
    let echo = flag(&mut rest, "echo")?;
    let by_id = ById {
        names: flag(&mut rest, "return_tokens_as_token_ids")?,
        wanted: match rest.remove("logprob_token_ids") {
            None => Vec::new(),
            Some(ids) => serde_json::from_value(ids).map_err(|_| {
                let what = "logprob_token_ids must be a list of token ids";
                ApiError::field("logprob_token_ids", what)
            })?,
        },
    };
    if by_id.wanted.len() as u64 > MOST_IDS {
        let what = format!("logprob_token_ids has more than {MOST_IDS} ids");
        return Err(ApiError::field("logprob_token_ids", what));
    }
    if !by_id.wanted.is_empty() {
        telling.by_id = by_id.wanted.len();
        // They take the place of the likeliest ones.
        telling.logprobs = Some(1);
    }
    if rest.contains_key("alignment") {
        let what = "a preference is said in a chat: take /v1/chat/completions for it";
        return Err(ApiError::field("alignment", what));
    }
    nothing_else(&rest)?;
    // Any chat will do: what is read is how to decode.
    fields.insert(
        "messages".to_owned(),
        json!([{ "role": "user", "content": "" }]),
    );
    fields.entry("max_new_tokens").or_insert(json!(16));
    let mut request = decoded(fields, &telling)?;
    let n = request.conversations.len();
    request.conversations.clear();
    Ok(CompletionRequest {
        prompts,
        n,
        request,
        telling,
        echo,
        by_id,
    })
}
