//! Texts and chats as token ids, and back: as llama.cpp's server has it, and as vLLM's.

use super::engine::{Ask, Told};
use super::error::ApiError;
use super::names::Named;
use super::{Api, request};
use crate::cli::serve::json_response;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use periapt_core::contract::Chat;
use serde_json::json;

/// The one thing that the engine tells of a request that is no answer.
async fn told(api: &Api, model: &Named, ask: Ask) -> Result<Told, ApiError> {
    let mut told = api.0.engine.ask(&model.model, ask)?;
    match told.recv().await {
        Some(Told::Failed(error)) => Err(error),
        Some(told) => Ok(told),
        None => Err(ApiError::ended()),
    }
}

/// `{content, add_special?}` or `{messages}` to `{tokens}`, as llama.cpp's server has it, with `count` and `max_model_len` as
/// vLLM's, and its `{prompt, add_special_tokens?}`, in which control tokens are written out.
pub async fn tokenize(State(api): State<Api>, body: Body) -> Result<Response, ApiError> {
    let (mut fields, _, model) = api.read(body).await?;
    let ask = if let Some(messages) = fields.remove("messages") {
        let chat: Chat = serde_json::from_value(messages)
            .map_err(|error| ApiError::field("messages", error.to_string()))?;
        Ask::TokenizeChat(chat.0)
    } else if let Some(text) = request::text(&mut fields, "prompt")? {
        fields.entry("add_special_tokens").or_insert(json!(true));
        Ask::Tokenize {
            text,
            begins: request::flag(&mut fields, "add_special_tokens")?,
            written_out: true,
        }
    } else {
        let text = request::text(&mut fields, "content")?.ok_or_else(|| {
            ApiError::field(
                "content",
                "give a text as content or prompt, or a chat as messages",
            )
        })?;
        Ask::Tokenize {
            text,
            begins: request::flag(&mut fields, "add_special")?,
            written_out: false,
        }
    };
    request::nothing_else(&fields)?;
    match told(&api, &model, ask).await? {
        Told::Ids { ids, context, ends } => Ok(json_response(&json!({
            "tokens": ids,
            "count": ids.len(),
            "max_model_len": context,
            "end_token_ids": ends,
        }))),
        _ => Err(ApiError::internal("the engine told something else")),
    }
}

/// `{tokens}` to `{content}`, which vLLM calls `prompt`.
pub async fn detokenize(State(api): State<Api>, body: Body) -> Result<Response, ApiError> {
    let (mut fields, _, model) = api.read(body).await?;
    let ids = fields.remove("tokens").unwrap_or_default();
    let ids: Vec<u32> = serde_json::from_value(ids)
        .map_err(|_| ApiError::field("tokens", "tokens must be a list of token ids"))?;
    request::nothing_else(&fields)?;
    match told(&api, &model, Ask::Detokenize(ids)).await? {
        Told::Text(text) => Ok(json_response(&json!({ "content": text, "prompt": text }))),
        _ => Err(ApiError::internal("the engine told something else")),
    }
}

/// Of the default model, what vLLM tells of a tokenizer, which harnesses take to make ids by [`tokenize`].
pub async fn info(State(api): State<Api>) -> Result<Response, ApiError> {
    let model = api.named(None)?;
    match told(&api, &model, Ask::Describe).await? {
        Told::Tokenizer {
            bos,
            eos,
            template,
            context,
        } => Ok(json_response(&json!({
            "bos_token": bos,
            "eos_token": eos,
            "chat_template": template,
            "model_max_length": context,
        }))),
        _ => Err(ApiError::internal("the engine told something else")),
    }
}
