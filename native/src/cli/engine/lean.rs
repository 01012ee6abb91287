//! Leaning on a server's model: of each next token the likeliest ones with the preference, the same ones without it, weighed and
//! drawn here by the engine's own guidance and sampler, and appended.

use super::truncated::Truncated;
use super::{Engine, EngineError, Kind};
use periapt_core::Error;
use periapt_core::decoding::streams::Stream;
use periapt_core::model::ModelError;
use periapt_core::session::{GenerateRequest, MOST_IDS, Support, SupportSampler, Truncation};
use periapt_core::text::{Message, StopTexts};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// How many times as many tokens a server is asked for without the preference, where it can't be asked for them by id.
const WIDER: usize = 8;

/// An answer that was drawn here.
#[derive(Default)]
pub struct Leaning {
    pub text: String,
    /// Each stream's prompt.
    pub prompts: Vec<(String, Vec<u32>)>,
    pub tokens: Vec<(u32, Truncation)>,
    pub strengths: Vec<f64>,
    pub kl: Vec<f32>,
    pub ended: bool,
}

impl Leaning {
    /// Its tokens.
    pub fn ids(&self) -> Vec<u32> {
        self.tokens.iter().map(|(id, _)| *id).collect()
    }

    /// What each token can have cost.
    pub fn truncations(&self) -> impl Iterator<Item = &Truncation> {
        self.tokens.iter().map(|(_, truncation)| truncation)
    }

    /// All of them together.
    pub fn truncated(&self) -> Truncated {
        Truncated::of(&self.truncations().collect::<Vec<_>>())
    }
}

/// Answers the first conversation of a request by its method, `support` tokens at a time. `heard` hears of every piece of its
/// text and may break off.
pub async fn lean(
    engine: &Engine,
    request: &GenerateRequest,
    support: usize,
    mut heard: impl FnMut(&str) -> ControlFlow<()>,
) -> anyhow::Result<Leaning> {
    request.validate()?;
    let conversation = request.conversations.first().cloned().unwrap_or_default();
    let streams = request.method.streams();
    let messages: Vec<Vec<Message>> = streams
        .iter()
        .map(|stream| conversation.messages(stream))
        .collect();
    let mut prompts = engine.prompts(&messages, &streams)?;
    let mut answer = Leaning {
        prompts: (streams.iter().map(|stream| stream.name.clone()))
            .zip(prompts.iter().cloned())
            .collect(),
        ..Leaning::default()
    };
    // Where the template says it; else it is learned on the way.
    engine.end_of_turn()?;
    let (prompt, context) = (
        prompts.iter().map(Vec::len).max().unwrap_or(0),
        engine.context(),
    );
    let most = request.max_new_tokens.min(context.saturating_sub(prompt));
    if most == 0 && request.max_new_tokens > 0 {
        return Err(Error::from(ModelError::ContextFull { prompt, context }).into());
    }
    let anchor = request.method.weights()[0].0;
    let mut sampler =
        SupportSampler::new(&request.method, &request.sampling, request.first).await?;
    let mut stop = StopTexts::new(&request.stop);
    let (mut ids, mut told) = (Vec::new(), 0);
    while ids.len() < most && !answer.ended {
        let support = engine.support(&prompts, anchor, support)?;
        let (id, chosen, truncation) = sampler.choose(&support).await?;
        ids.push(id);
        prompts.iter_mut().for_each(|prompt| prompt.push(id));
        let is_end = engine.ends(id);
        let last = is_end || ids.len() == most;
        let whole = engine.decode(&ids[..ids.len() - usize::from(is_end)])?;
        // A character may be several tokens.
        let sure = match last {
            true => whole.as_str(),
            false => whole.trim_end_matches(char::REPLACEMENT_CHARACTER),
        };
        let (mut text, stopped) = stop.push(sure.get(told..).unwrap_or_default());
        told = told.max(sure.len());
        if last || stopped {
            text.push_str(&stop.finish());
        }
        answer.ended = is_end || stopped;
        answer.text.push_str(&text);
        let k = f64::from(chosen.share) * request.method.strength();
        answer.strengths.push(k);
        answer.kl.extend(chosen.kl);
        answer.tokens.push((id, truncation));
        if heard(&text).is_break() {
            break;
        }
    }
    Ok(answer)
}

impl Engine {
    /// The ids of a conversation's prompts, each of which has to differ from the others where its messages do.
    pub(super) fn prompts(
        &self,
        messages: &[Vec<Message>],
        streams: &[Stream],
    ) -> Result<Vec<Vec<u32>>, EngineError> {
        let mut prompts: Vec<Vec<u32>> = Vec::with_capacity(messages.len());
        for (at, of_stream) in messages.iter().enumerate() {
            let ids = self.encode_chat(of_stream)?;
            let same = |other: &usize| prompts[*other] == ids && messages[*other] != *of_stream;
            if let Some(other) = (0..at).find(same) {
                return Err(self.lacks(&format!(
                    "makes the same prompt of {} and {}: the model's chat template leaves out what should set them apart; say the \
                     preference in the question",
                    streams[other].name, streams[at].name
                )));
            }
            prompts.push(ids);
        }
        Ok(prompts)
    }

    /// The next tokens after `prompts`: the `most` likeliest after the one at `anchor`, with their log-probabilities after all.
    fn support(
        &self,
        prompts: &[Vec<u32>],
        anchor: usize,
        most: usize,
    ) -> Result<Support, EngineError> {
        let likeliest = self.next(&prompts[anchor], most, &[])?;
        if let Some((id, _)) = likeliest.iter().find(|(id, _)| *id >= MOST_IDS) {
            return Err(self.lacks(&format!(
                "has a token {id}: there may be no more than {MOST_IDS}"
            )));
        }
        let (ids, own): (Vec<u32>, Vec<f64>) = likeliest.into_iter().unzip();
        let (mut log_probs, mut bounded) = (Vec::with_capacity(prompts.len()), 0);
        for (at, prompt) in prompts.iter().enumerate() {
            if at == anchor {
                log_probs.push(own.clone());
                continue;
            }
            let wide = match self.kind {
                Kind::LlamaCpp => most.saturating_mul(WIDER),
                _ => most,
            };
            let next = self.next(prompt, wide, &ids)?;
            let given: BTreeMap<u32, f64> = next.into_iter().collect();
            let least = given.values().copied().fold(f64::INFINITY, f64::min);
            bounded += ids.iter().filter(|id| !given.contains_key(id)).count();
            let of = |id: &u32| given.get(id).copied().unwrap_or(least);
            log_probs.push(ids.iter().map(of).collect());
        }
        Ok(Support {
            ids,
            log_probs,
            bounded,
        })
    }
}
