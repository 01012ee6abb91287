//! What clients of OpenAI's API send, as requests to the engine. A field is heeded, ignored as [`IGNORED`] says, taken
//! where it asks for nothing, or refused by name.

use super::error::ApiError;
use crate::store::Recommended;
use periapt_core::contract::{GenerateParams, decoding_options};
use periapt_core::decoding::Strength;
use periapt_core::options::OptionInfo;
use periapt_core::persona::{AXES, Lean, Measured, Persona};
use periapt_core::session::GenerateRequest;
use serde_json::{Map, Value, json};

/// What clients send along, and what has no meaning on one's own machine.
const IGNORED: [&str; 13] = [
    "best_of",
    "metadata",
    "parallel_tool_calls",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_retention",
    "reasoning_effort",
    "safety_identifier",
    "service_tier",
    "store",
    "stream_options",
    "user",
    "verbosity",
];

/// A field, its value, and the same in words.
type Taken = (&'static str, fn(&Value) -> bool, &'static str);

/// Fields that ask for nothing where they hold this.
const TAKEN: [Taken; 6] = [
    ("functions", is_empty, "function calls"),
    ("tools", is_empty, "tools"),
    ("tool_choice", |v| v == "none" || v == "auto", "tools"),
    ("logit_bias", is_empty, "biases of single tokens"),
    ("modalities", |v| *v == json!(["text"]), "anything but text"),
    ("suffix", |v| v == "", "a text behind the answer"),
];

/// OpenAI's numbers, and what the engine calls them.
const NUMBERS: [(&str, &str); 10] = [
    ("temperature", "temperature"),
    ("top_p", "top_p"),
    ("top_k", "top_k"),
    ("min_p", "min_p"),
    ("presence_penalty", "presence_penalty"),
    ("frequency_penalty", "frequency_penalty"),
    ("repetition_penalty", "repetition_penalty"),
    ("seed", "seed"),
    ("n", "n"),
    ("max_tokens", "max_new_tokens"),
];

/// The most likely tokens that a client may ask for with a chat.
const MOST_TOP: u64 = 20;

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// How the answers are to be told.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Telling {
    /// Token by token, as server-sent events.
    pub stream: bool,
    /// With the tokens' counts in an event of its own.
    pub usage: bool,
    /// Tokens' log-probabilities, with so many of the likeliest.
    pub logprobs: Option<usize>,
    /// The trace of each token.
    pub trace: bool,
    /// Tokens whose log-probabilities were asked for by id.
    pub by_id: usize,
}

/// What all requests for text have.
pub struct Common {
    /// How to decode, as the engine calls it.
    pub fields: Map<String, Value>,
    pub telling: Telling,
}

/// What the server itself says, where a request is silent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Defaults<'a> {
    /// The preference of every chat.
    pub preference: Option<&'a str>,
    /// The person to whom they lean where they wish for nothing.
    pub persona: Option<&'a Persona>,
    /// The model's name in the catalogue.
    pub model: Option<&'static str>,
    /// What was measured to suit the model.
    pub recommended: Option<Recommended>,
}

/// A chat, `/v1/chat/completions`.
pub struct ChatRequest {
    pub request: GenerateRequest,
    pub telling: Telling,
    /// The preference as it was given, with where it came from.
    pub preference: Option<String>,
}

/// The object that every body is.
pub fn object(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Ok(fields
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .collect()),
        Ok(_) => Err(ApiError::invalid("the body must be a JSON object")),
        Err(error) => Err(ApiError::invalid(format!("the body is no JSON: {error}"))),
    }
}

/// The field `name`, as text.
pub fn text(fields: &mut Map<String, Value>, name: &str) -> Result<Option<String>, ApiError> {
    match fields.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(ApiError::field(name, format!("{name} must be text"))),
    }
}

/// A flag, false where it is not there.
pub fn flag(fields: &mut Map<String, Value>, name: &str) -> Result<bool, ApiError> {
    match fields.remove(name) {
        None => Ok(false),
        Some(Value::Bool(flag)) => Ok(flag),
        Some(_) => Err(ApiError::field(
            name,
            format!("{name} must be true or false"),
        )),
    }
}

pub fn count(
    fields: &mut Map<String, Value>,
    name: &str,
    most: u64,
) -> Result<Option<usize>, ApiError> {
    let Some(value) = fields.remove(name) else {
        return Ok(None);
    };
    match value.as_u64().filter(|count| *count <= most) {
        Some(count) => Ok(Some(count as usize)),
        None => Err(ApiError::field(
            name,
            format!("{name} must be a whole number from 0 to {most}"),
        )),
    }
}

/// The field `name` of `alignment`, 0 where it is left out.
fn number(fields: &mut Map<String, Value>, name: &str) -> Result<u32, ApiError> {
    let Some(value) = fields.remove(name) else {
        return Ok(0);
    };
    let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
    number.ok_or_else(|| {
        let what = format!("{name} must be a whole number from 0 to {}", u32::MAX);
        ApiError::field(&format!("alignment.{name}"), what)
    })
}

impl Common {
    /// Reads what both addresses share; what is left in `rest` is for neither.
    pub fn take(rest: &mut Map<String, Value>) -> Result<Self, ApiError> {
        let mut fields = Map::new();
        if let Some(most) = rest.remove("max_completion_tokens") {
            rest.insert("max_tokens".to_owned(), most);
        }
        for (theirs, ours) in NUMBERS {
            if let Some(value) = rest.remove(theirs) {
                if !value.is_number() {
                    return Err(ApiError::field(
                        theirs,
                        format!("{theirs} must be a number"),
                    ));
                }
                fields.insert(ours.to_owned(), value);
            }
        }
        match rest.remove("stop") {
            None => {}
            Some(Value::String(stop)) => {
                fields.insert("stop".to_owned(), json!([stop]));
            }
            Some(Value::Array(stops)) if stops.iter().all(Value::is_string) => {
                fields.insert("stop".to_owned(), Value::Array(stops));
            }
            Some(_) => {
                let what = "stop must be a text, or a list of texts";
                return Err(ApiError::field("stop", what));
            }
        }
        let usage = rest
            .get("stream_options")
            .is_some_and(|options| options["include_usage"] == json!(true));
        let telling = Telling {
            stream: flag(rest, "stream")?,
            usage,
            ..Telling::default()
        };
        for (name, asks_nothing, what) in TAKEN {
            if let Some(value) = rest.remove(name)
                && !asks_nothing(&value)
            {
                return Err(ApiError::field(
                    name,
                    format!("{name}: this server has no {what}; leave it out"),
                ));
            }
        }
        if let Some(schema) = rest
            .remove("response_format")
            .map(schema)
            .transpose()?
            .flatten()
        {
            fields.insert("json_schema".to_owned(), schema);
        }
        for name in IGNORED {
            rest.remove(name);
        }
        Ok(Self { fields, telling })
    }
}

/// The JSON schema that a `response_format` asks for.
fn schema(format: Value) -> Result<Option<Value>, ApiError> {
    let wrong = |what: &str| Err(ApiError::field("response_format", what));
    match format["type"].as_str() {
        Some("text") => Ok(None),
        Some("json_object") => Ok(Some(json!({ "type": "object" }))),
        Some("json_schema") => match format["json_schema"]["schema"].as_object() {
            Some(schema) => Ok(Some(Value::Object(schema.clone()))),
            None => wrong("response_format.json_schema.schema must be a JSON schema, an object"),
        },
        _ => wrong("response_format.type must be text, json_object or json_schema"),
    }
}

/// Whether a field of `alignment` says how far to lean, or what guards it.
fn leans(name: &str) -> bool {
    let is_leaning = |option: &OptionInfo| {
        option.name == name && matches!(option.group, "amulet" | "la" | "guard")
    };
    matches!(name, "method" | "preferences" | "lean") || decoding_options().any(is_leaning)
}

/// The engine's own request, with as much of a trace as the log-probabilities that are to be told come out of.
pub fn decoded(
    mut fields: Map<String, Value>,
    telling: &Telling,
) -> Result<GenerateRequest, ApiError> {
    if let Some(top @ 1..) = telling.logprobs {
        let traced = fields.get("trace").and_then(Value::as_u64).unwrap_or(0);
        fields.insert("trace".to_owned(), json!(traced.max(top as u64)));
    }
    let params: GenerateParams = serde_json::from_value(Value::Object(fields))
        .map_err(|error| ApiError::invalid(error.to_string()))?;
    let request = params.into_request()?;
    request.validate().map_err(periapt_core::Error::from)?;
    Ok(request)
}

/// Refuses what nobody took.
pub fn nothing_else(rest: &Map<String, Value>) -> Result<(), ApiError> {
    match rest.keys().next() {
        Some(name) => Err(ApiError::unknown(name)),
        None => Ok(()),
    }
}

/// A message's content: text, or parts that are text.
fn content(value: &Value) -> Result<String, ApiError> {
    let wrong = || {
        ApiError::field(
            "messages",
            "a message's content must be text, or a list of parts of the type text: this server reads nothing else",
        )
    };
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Null => Ok(String::new()),
        Value::Array(parts) => {
            let text = |part: &Value| match (part["type"].as_str(), part["text"].as_str()) {
                (Some("text"), Some(text)) => Ok(text.to_owned()),
                _ => Err(wrong()),
            };
            let parts = parts.iter().map(text).collect::<Result<Vec<_>, _>>()?;
            Ok(parts.join("\n"))
        }
        _ => Err(wrong()),
    }
}

/// Messages as the engine has them: system prompts at the beginning become one.
pub fn messages(value: Option<Value>) -> Result<Value, ApiError> {
    let Some(Value::Array(given)) = value else {
        return Err(ApiError::field("messages", "messages must be a list"));
    };
    let mut messages: Vec<(String, String)> = Vec::new();
    for message in &given {
        let role = match message["role"].as_str() {
            Some("developer") => "system",
            Some(role @ ("system" | "user" | "assistant")) => role,
            _ => {
                let what = "a message's role must be system, developer, user or assistant";
                return Err(ApiError::field("messages", what));
            }
        };
        let content = content(&message["content"])?;
        match messages.last_mut() {
            Some((last, before)) if role == "system" && last == "system" => {
                *before = format!("{before}\n\n{content}");
            }
            _ => messages.push((role.to_owned(), content)),
        }
    }
    let one = |(role, content): &(String, String)| json!({ "role": role, "content": content });
    Ok(messages.iter().map(one).collect())
}

/// The object of what is Periapt's own.
pub fn alignment(rest: &mut Map<String, Value>) -> Result<Map<String, Value>, ApiError> {
    match rest.remove("alignment") {
        None => Ok(Map::new()),
        Some(Value::Object(alignment)) => Ok(alignment
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .collect()),
        Some(_) => Err(ApiError::field("alignment", "alignment must be an object")),
    }
}

/// Has a chat prefer what every one does where it says nothing of that; gives the preference as it is then written.
pub fn prefer(alignment: &mut Map<String, Value>, every: Option<&str>) -> Option<String> {
    let wishes = |name: &str| alignment.contains_key(name);
    let silent = !["preference", "preferences", "lean", "method"]
        .into_iter()
        .any(wishes);
    if let Some(preference) = every.filter(|_| silent) {
        alignment.insert("preference".to_owned(), json!(preference));
    }
    let preference = alignment.get("preference").and_then(Value::as_str);
    preference
        .map(str::to_owned)
        .filter(|text| !text.trim().is_empty())
}

/// Reads a chat's body, without its `model`.
pub fn chat(mut rest: Map<String, Value>, defaults: Defaults<'_>) -> Result<ChatRequest, ApiError> {
    let Common {
        mut fields,
        mut telling,
    } = Common::take(&mut rest)?;
    fields.insert("messages".to_owned(), messages(rest.remove("messages"))?);
    let top = count(&mut rest, "top_logprobs", MOST_TOP)?;
    if flag(&mut rest, "logprobs")? {
        telling.logprobs = Some(top.unwrap_or(0));
    } else if top.is_some() {
        let what = "top_logprobs goes with logprobs = true";
        return Err(ApiError::field("top_logprobs", what));
    }
    let mut alignment = alignment(&mut rest)?;
    nothing_else(&rest)?;
    let preference = prefer(&mut alignment, defaults.preference);
    let leans = alignment.keys().any(|name| leans(name));
    if let Some(persona) = defaults.persona.filter(|_| preference.is_none() && !leans) {
        let usual = (Strength::default().strength, 0.0);
        let suits = defaults
            .recommended
            .map(|suits| (suits.strength, suits.plausibility));
        let (strength, plausibility) = suits.unwrap_or(usual);
        let leans = persona.leans(Measured::of(defaults.model), strength);
        let along = |lean: &Lean| (AXES[lean.axis].name.to_owned(), json!(lean.k));
        alignment.insert("lean".to_owned(), leans.iter().map(along).collect());
        alignment.insert("plausibility".to_owned(), json!(plausibility));
    }
    if let Some(suits) = defaults
        .recommended
        .filter(|_| preference.is_some() && !leans)
    {
        alignment.insert("method".to_owned(), json!(suits.method));
        alignment.insert("strength".to_owned(), json!(suits.strength));
        alignment.insert("plausibility".to_owned(), json!(suits.plausibility));
    }
    let first = number(&mut alignment, "first")?;
    let prefix = text(&mut alignment, "prefix")?;
    let fold = flag(&mut alignment, "fold")?;
    telling.trace = alignment.contains_key("trace");
    for (name, value) in alignment {
        let theirs = NUMBERS.iter().any(|(_, ours)| *ours == name);
        if theirs || ["messages", "stop", "json_schema"].contains(&name.as_str()) {
            return Err(ApiError::field(
                &format!("alignment.{name}"),
                format!("{name} stands beside alignment, not in it"),
            ));
        }
        fields.insert(name, value);
    }
    let mut request = decoded(fields, &telling)?;
    request.fold_where_wished();
    request.fold |= fold;
    request.first = first;
    request.prefix = prefix.unwrap_or_default();
    Ok(ChatRequest {
        request,
        telling,
        preference,
    })
}
