//! Refinement (TPO) through the server: a chat whose `alignment` holds `refine` is answered with the best text of a run. The
//! loop's texts are requests like any other to the same model, so that they go into its batch, wait for room, and end with who
//! hangs up.

use super::engine::{Ask, Job, Model, Told, Waits, tell};
use super::error::ApiError;
use super::request::{self, Common, Telling};
use periapt_core::Session;
use periapt_core::contract::{RefineParams, RefineRequest, decoding_options};
use periapt_core::decoding::{Conversation, DecodingError};
use periapt_core::options::Values;
use periapt_core::reward::{AnyReward, Reward, RewardError, RewardName};
use periapt_core::session::GenerateRequest;
use periapt_core::tpo::{
    self, Draft, Error, Generator, Local, Outcome, PromptSet, Prompts, RunEvent, WriteEvent,
    WriteRequest,
};
use serde_json::{Map, Value, json};
use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;
use std::rc::Rc;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// What of the decoding a refinement takes.
const DRAWS: [&str; 4] = ["temperature", "top_p", "seed", "max_new_tokens"];

/// What of `alignment` stands beside `refine`.
const BESIDE: [&str; 3] = ["preference", "prompt_set", "method"];

/// A chat to be refined.
pub struct Refined {
    pub request: RefineRequest,
    pub telling: Telling,
    /// The preference as it was given.
    pub preference: Option<String>,
}

/// Whether a chat asks for it.
pub fn is_asked(fields: &Map<String, Value>) -> bool {
    let alignment = fields.get("alignment");
    alignment.is_some_and(|alignment| !alignment["refine"].is_null())
}

/// Reads the body of a chat that is to be refined, without its `model`; `preference` is that of every chat.
pub fn read(mut rest: Map<String, Value>, preference: Option<&str>) -> Result<Refined, ApiError> {
    let Common {
        fields: asked,
        telling,
    } = Common::take(&mut rest)?;
    let beside = |name: &str, why: &str| {
        let what = format!("{name} does not go with alignment.refine: {why}");
        Err(ApiError::field(name, what))
    };
    let mut fields = Map::new();
    fields.insert(
        "messages".to_owned(),
        request::messages(rest.remove("messages"))?,
    );
    for (name, value) in asked {
        match name.as_str() {
            name if DRAWS.contains(&name) => _ = fields.insert(name.to_owned(), value),
            "n" if value == 1 => {}
            "n" => {
                return beside(
                    "n",
                    "it gives one answer, and refine.samples are drawn a round",
                );
            }
            "json_schema" => return beside("response_format", "leave it out"),
            name if is_default(name, &value) => {}
            name => return beside(name, "leave it out"),
        }
    }
    let logprobs = rest.remove("logprobs").unwrap_or(json!(false));
    if logprobs != json!(false) || rest.remove("top_logprobs").is_some() {
        return beside("logprobs", "no single request decodes the answer");
    }
    let mut alignment = request::alignment(&mut rest)?;
    request::nothing_else(&rest)?;
    let preference = request::prefer(&mut alignment, preference);
    let Some(Value::Object(refine)) = alignment.remove("refine") else {
        let what = "alignment.refine must be an object; {} refines as `periapt tpo` does";
        return Err(ApiError::field("alignment.refine", what));
    };
    for (name, value) in alignment {
        if !BESIDE.contains(&name.as_str()) {
            let why = format!("it goes by {} alone", BESIDE.join(", "));
            return beside(&format!("alignment.{name}"), &why);
        }
        fields.insert(name, value);
    }
    for (name, value) in refine {
        if name == "messages" || BESIDE.contains(&name.as_str()) {
            let what = format!("{name} stands beside refine, not in it");
            return Err(ApiError::field(&format!("alignment.refine.{name}"), what));
        }
        // What is said of the refinement itself counts.
        fields.insert(name, value);
    }
    fields.retain(|_, value| !value.is_null());
    let params: RefineParams = serde_json::from_value(Value::Object(fields))
        .map_err(|error| ApiError::field("alignment.refine", error.to_string()))?;
    let request = params.into_request()?;
    request.options.validate().map_err(of)?;
    if matches!(
        request.reward,
        RewardName::Classifier | RewardName::Remote | RewardName::Human
    ) {
        let what = format!(
            "the reward {} is not this server's: take fit, preference or judge",
            request.reward
        );
        return Err(ApiError::field("alignment.refine.reward", what));
    }
    if request.method.wants_preference() && request.query.preference.is_none() {
        return Err(of(DecodingError::NoPreference(request.method.name()).into()));
    }
    Ok(Refined {
        request,
        telling,
        preference,
    })
}

/// Whether an option of decoding is as it is where it is left out: clients send such ones along.
fn is_default(name: &str, value: &Value) -> bool {
    let mut options = decoding_options();
    options.any(|option| match option.values {
        Values::Number { default, .. } => option.name == name && default == value.as_f64(),
        Values::Words(_) => false,
    })
}

fn of(error: Error) -> ApiError {
    match error {
        Error::Session(error) | Error::Reward(RewardError::Session(error)) => error.into(),
        other => ApiError::invalid(other.to_string()),
    }
}

/// A run, and where it asks and tells.
pub struct Run {
    pub session: Rc<Session>,
    pub request: RefineRequest,
    pub model: Model,
    /// The model's requests.
    pub queue: UnboundedSender<Job>,
    pub tell: UnboundedSender<Told>,
    /// Held until it is over.
    pub _waits: Option<Waits>,
}

impl Run {
    /// To its end, or until nobody listens any more.
    pub async fn run(self) {
        let done = tokio::select! {
            done = self.refine() => done,
            () = self.tell.closed() => return,
        };
        if let Err(error) = done {
            tell(&self.tell, Told::Failed(error));
        }
    }

    async fn refine(&self) -> Result<(), ApiError> {
        let (session, request) = (&*self.session, &self.request);
        let (query, options) = (&request.query, &request.options);
        let first = GenerateRequest {
            conversations: vec![Conversation {
                system: query.system.clone(),
                preference: query.preference.clone(),
                earlier: query.earlier.clone(),
                question: query.question.clone(),
            }],
            method: request.method.clone(),
            ..GenerateRequest::default()
        };
        tell(&self.tell, Told::Begun(session.prompting(&first)?.system));
        let prompts = Prompts::from(PromptSet::for_size(session.decoder().parameters() as u64));
        let (system, wish) = (query.system.clone(), query.preference.clone());
        let reward = AnyReward::of_model(request.reward, session, system, wish, &query.reworded);
        let mut reward = reward.ok_or_else(ApiError::ended)?;
        reward.begin(&query.question);
        if let Some(limit) = request.nll_limit {
            reward.set_nll_limit(limit);
        }
        let writer = Writer {
            run: self,
            local: Local {
                session,
                method: request.method.clone(),
                preference: query.preference.clone(),
                batch: usize::MAX,
            },
            prompt_tokens: Cell::new(0),
            failed: RefCell::new(None),
        };
        let mut listen = async |event: RunEvent<'_>| {
            if let RunEvent::Line { state, .. } = event {
                let outcome = state.outcome();
                let what = format!(
                    "{} of {} generations, {} rounds scored",
                    outcome.generations,
                    options.generations(),
                    outcome.rounds.len()
                );
                tell(&self.tell, Told::Works(what));
            }
            ControlFlow::Continue(())
        };
        let recorded = request.recorded.clone();
        let outcome = tpo::refine(
            query,
            options,
            &prompts,
            &writer,
            &mut reward,
            recorded,
            &mut listen,
        );
        let outcome = match outcome.await {
            Ok(outcome) => outcome,
            Err(error) => return Err(writer.failed.take().unwrap_or_else(|| of(error))),
        };
        let best = outcome.answer().ok_or_else(ApiError::ended)?;
        let refine = self.about(&outcome, &reward.name());
        let text = best.text.clone();
        tell(&self.tell, Told::Refined { text, refine });
        let done = Told::Done {
            answer: 0,
            reason: best.finish_reason,
            tokens: outcome.tokens,
            prompt_tokens: writer.prompt_tokens.get(),
        };
        tell(&self.tell, done);
        Ok(())
    }

    /// What the answer says of the run.
    fn about(&self, outcome: &Outcome, reward: &str) -> Value {
        let best = outcome.answer();
        let first = outcome.rounds.first();
        json!({
            "mode": self.request.options.mode,
            "reward_name": reward,
            "first_reward": first.map(|round| round.best_reward),
            "reward": outcome.reward(),
            "rounds": outcome.rounds.len().saturating_sub(1),
            "candidates": outcome.candidates.len(),
            "generations": outcome.generations,
            "best": best.map(|best| json!({ "round": best.round, "index": best.index })),
        })
    }
}

/// Writes a run's texts by asking its model.
struct Writer<'a> {
    run: &'a Run,
    local: Local<'a>,
    /// Tokens of all prompts so far.
    prompt_tokens: Cell<usize>,
    /// Why it failed.
    failed: RefCell<Option<ApiError>>,
}

impl Writer<'_> {
    fn fails(&self, error: ApiError) -> Error {
        self.failed.replace(Some(error));
        Error::Generator("a text of the refinement failed".to_owned())
    }
}

impl Generator for Writer<'_> {
    fn context(&self) -> usize {
        self.local.context()
    }

    fn count(&self, conversation: &Conversation, prefix: &str) -> Result<usize, Error> {
        self.local.count(conversation, prefix)
    }

    async fn write(
        &self,
        wanted: &WriteRequest,
        on_event: &mut impl AsyncFnMut(WriteEvent<'_>) -> ControlFlow<()>,
    ) -> Result<Vec<Draft>, Error> {
        let (tell, mut told) = unbounded_channel();
        let job = Job {
            model: self.run.model.clone(),
            ask: Ask::Generate(Box::new(self.local.request(wanted))),
            tell,
            waits: None,
            queue: None,
        };
        let sent = self.run.queue.send(job);
        sent.map_err(|_| self.fails(ApiError::ended()))?;
        let mut texts = vec![String::new(); wanted.n];
        let mut drafts = vec![None; wanted.n];
        let (mut left, mut prompt) = (wanted.n, 0);
        while left > 0 {
            let heard = match told.recv().await {
                Some(Told::Token(token)) => {
                    let (index, text) = (token.answer, &token.text);
                    texts[index].push_str(text);
                    on_event(WriteEvent::Token { index, text }).await
                }
                Some(Told::Done {
                    answer: index,
                    reason: finish_reason,
                    tokens,
                    prompt_tokens,
                }) => {
                    left -= 1;
                    prompt = prompt.max(prompt_tokens);
                    let draft = Draft {
                        text: std::mem::take(&mut texts[index]),
                        tokens,
                        finish_reason,
                    };
                    let draft = drafts[index].insert(draft);
                    on_event(WriteEvent::Done { index, draft }).await
                }
                Some(Told::Failed(error)) => return Err(self.fails(error)),
                Some(_) => ControlFlow::Continue(()),
                None => return Err(self.fails(ApiError::ended())),
            };
            if heard.is_break() {
                break;
            }
        }
        self.prompt_tokens.update(|tokens| tokens + prompt);
        Ok(drafts.into_iter().flatten().collect())
    }
}
