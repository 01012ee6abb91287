//! From the arguments to a request: what `generate` and `chat` share.

use super::args::{AskArgs, DecodingArgs, ModelArgs};
use super::persona;
use super::{Usage, input, streams};
use crate::{say, store};
use periapt_core::decoding::streams::StreamPreference;
use periapt_core::decoding::{Conversation, Method, MethodName, Preference};
use periapt_core::persona::{self as axes, Lean, instruction};
use periapt_core::session::GenerateRequest;
use periapt_core::text::Message;
use serde_json::Value;
use std::path::Path;

/// Where an answer must have a token.
pub const NO_TOKENS: &str =
    "--max-new-tokens must be at least 1 here: there is nothing to choose among";

/// How the arguments have questions answered.
pub struct How {
    pub method: MethodName,
    /// As the arguments have it, or with what was measured to suit the model.
    pub decoding: DecodingArgs,
    /// What is to be said of that.
    pub notes: Vec<String>,
    preferences: Vec<Preference>,
    /// How far to lean along axes, in place of preferences.
    pub leans: Option<Vec<Lean>>,
}

impl How {
    /// `is_here` where the model runs on this machine.
    ///
    /// # Errors
    ///
    /// [`Usage`] for what contradicts itself, and where the model's name is none.
    pub fn of(args: &AskArgs, is_here: bool) -> anyhow::Result<Self> {
        if args.lean.is_given() {
            return Self::leaning(args);
        }
        let preferences = streams::preferences(&args.prefer)?;
        let weighted = preferences
            .iter()
            .any(|preference| preference.weight.is_some());
        let without_effect = preferences.iter().filter(|p| p.weight == Some(0.0));
        let mut notes: Vec<String> = without_effect
            .map(|p| format!("--prefer {:?} has the weight 0, and no effect", p.text))
            .collect();
        let several = preferences.len() > 1 || !args.streams.stream.is_empty();
        let guided = several || (weighted && args.method.is_none());
        let mut decoding = args.decoding.clone();
        let method = match (args.method, args.prefer.len()) {
            (Some(method), _) => method,
            _ if guided => MethodName::Guidance,
            (None, 0) => MethodName::Base,
            (None, _) if !is_here => MethodName::Amulet,
            (None, _) => {
                let (method, note) = recommended(&args.model, &mut decoding)?;
                notes.extend(note);
                method
            }
        };
        if several && method != MethodName::Guidance {
            let what = "several --prefer, and --stream, go with --method guidance alone";
            return Err(Usage(what.to_owned()).into());
        }
        Ok(Self {
            method,
            decoding,
            notes,
            preferences,
            leans: None,
        })
    }

    /// Along axes: the persona's, or those that are named.
    fn leaning(args: &AskArgs) -> anyhow::Result<Self> {
        let AskArgs { prefer, method, .. } = args;
        if !prefer.is_empty() || !args.streams.stream.is_empty() {
            let what =
                "--persona and --lean stand in place of --prefer and --stream: leave one out";
            return Err(Usage(what.to_owned()).into());
        }
        let model = args.model.model.as_deref();
        let mut decoding = args.decoding.clone();
        let suits = store::known(model)?.and_then(|spec| spec.recommended);
        if let Some(suits) = suits.filter(|_| !decoding.guards()) {
            decoding.sampling.plausibility = suits.plausibility;
        }
        let leans = match &args.lean.persona {
            Some(file) => persona::leans(file, model, decoding.strength)?,
            None => {
                let along = |given: &String| persona::along("--lean", given);
                args.lean.lean.iter().map(along).collect::<Result<_, _>>()?
            }
        };
        let mut notes = vec![format!("the answer {}", persona::leaning(&leans))];
        let told = instruction(&leans);
        let (method, preferences, leans) = match (method, told) {
            (None | Some(MethodName::Guidance), _) => {
                (MethodName::Guidance, Vec::new(), Some(leans))
            }
            (Some(MethodName::Pref), None) => (MethodName::Base, Vec::new(), None),
            (Some(MethodName::Pref), Some(text)) => {
                notes = vec![format!("the model is told: {text}")];
                let weight = None;
                (MethodName::Pref, vec![Preference { text, weight }], None)
            }
            (Some(other), _) => {
                let what = format!(
                    "--method {other} leans along no axes: leave it out, or take pref, which is only told"
                );
                return Err(Usage(what).into());
            }
        };
        Ok(Self {
            method,
            decoding,
            notes,
            preferences,
            leans,
        })
    }

    /// The conversation, its preference in the words of the set of prompts.
    pub fn conversation(
        &self,
        args: &AskArgs,
        earlier: Vec<Message>,
        question: String,
    ) -> Result<Conversation, Usage> {
        let compat = args.decoding.paper_compat;
        let preference = match (self.method, self.preferences.last()) {
            // Its streams have their own.
            (MethodName::Guidance, _) | (_, None) => None,
            (_, Some(own)) => {
                let text = streams::unweighted(own.clone(), "every --method but guidance")?;
                Some(args.prompts.set(compat).instruction(&text))
            }
        };
        Ok(Conversation {
            system: args.prompts.system(compat, preference.is_some()),
            preference,
            earlier,
            question,
        })
    }

    /// The request for any method but beam search; companions are not assigned to its streams yet.
    ///
    /// # Errors
    ///
    /// [`Usage`] for a stream or a stream's model that is none.
    pub fn request(
        &self,
        args: &AskArgs,
        earlier: Vec<Message>,
        question: String,
    ) -> Result<GenerateRequest, Usage> {
        let compat = args.decoding.paper_compat;
        let mut conversation = self.conversation(args, earlier, question)?;
        let method = match self.decoding.method(self.method) {
            Some(method) => method,
            None if self.leans.is_some() => axes::method(self.leans.as_deref().unwrap_or_default()),
            None => {
                let set = args.prompts.set(compat);
                Method::Guidance(streams::streams(set, &self.preferences, &args.streams)?)
            }
        };
        if let Method::Guidance(streams) = &method {
            // What the streams wish for is theirs; that there is a wish at all decides which system prompt is taken.
            let wishes = streams
                .iter()
                .any(|stream| stream.preference != StreamPreference::None);
            conversation.preference = wishes.then(String::new);
            conversation.system = args.prompts.system(compat, wishes);
        }
        streams::stream_models(&method, &args.streams)?;
        let mut request = request(&self.decoding, conversation, method);
        request.fold_where_wished();
        request.stop.clone_from(&args.stop);
        request.json_schema = args.json_schema.as_deref().map(schema).transpose()?;
        Ok(request)
    }
}

/// Reads a JSON schema.
fn schema(path: &Path) -> Result<Value, Usage> {
    let text = input::whole_file("--json-schema", path)?;
    serde_json::from_str(&text).map_err(|error| {
        Usage(format!(
            "--json-schema {} is no JSON: {error}",
            path.display()
        ))
    })
}

/// The method for a preference where none is named: what was measured to suit the model, with its strength and guard, and
/// what is to be said of it; else amulet. Where the arguments say how to lean, that counts.
fn recommended(
    model: &ModelArgs,
    decoding: &mut DecodingArgs,
) -> anyhow::Result<(MethodName, Option<String>)> {
    let known = match decoding.leans() {
        true => None,
        false => store::known(model.model.as_deref())?,
    };
    let Some((spec, suits)) = known.and_then(|spec| Some((spec, spec.recommended?))) else {
        return Ok((MethodName::Amulet, None));
    };
    decoding.strength.strength = suits.strength;
    decoding.sampling.plausibility = suits.plausibility;
    let note = format!(
        "{} at k = {}, plausibility {}: what was measured to suit {} (--method amulet: the paper's own)",
        suits.method,
        decoding
            .method(suits.method)
            .map_or(0.0, |method| method.strength()),
        suits.plausibility,
        spec.name
    );
    Ok((suits.method, Some(note)))
}

/// Refuses what contradicts itself, and says what `--paper-compat` does; `core/src/decoding/method.rs` has what it doesn't.
pub fn check(decoding: &DecodingArgs) -> Result<(), Usage> {
    if decoding.paper_compat {
        if decoding.sampling.temperature != 0.0 {
            let what = "--paper-compat takes the best token, as the paper's code does: leave --temperature out";
            return Err(Usage(what.to_owned()));
        }
        say!(
            "paper-compat: no generation prompt, and the best token at each step, as in the paper's code for la and amulet"
        );
    }
    Ok(())
}

/// One conversation's request, with the settings of the command line.
pub fn request(
    decoding: &DecodingArgs,
    conversation: Conversation,
    method: Method,
) -> GenerateRequest {
    GenerateRequest {
        conversations: vec![conversation],
        method,
        sampling: decoding.sampling,
        max_new_tokens: decoding.length.max_new_tokens,
        generation_prompt: !decoding.paper_compat,
        ..GenerateRequest::default()
    }
}
