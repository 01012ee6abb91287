//! Beam search over a prompt.

use super::generate::most_tokens;
use super::{Error, FinishReason, Generation, Session, read_ids};
use crate::decoding::beam::{BeamParams, BeamSearch, Sequence};
use crate::decoding::streams::Stream;
use crate::decoding::{Conversation, Sampler, Sampling, sampler};
use crate::model::{KvCache, Logits};
use std::ops::ControlFlow;

/// What to search for.
#[derive(Debug, Clone, PartialEq)]
pub struct BeamRequest {
    /// The question with its preference, if it has one.
    pub conversation: Conversation,
    /// How to search.
    pub params: BeamParams,
    /// The most tokens of an answer.
    pub max_new_tokens: usize,
    /// As in [`super::GenerateRequest`].
    pub generation_prompt: bool,
}

/// An answer that the search found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hypothesis {
    /// The answer.
    pub generation: Generation,
    /// Its log-probability, summed over its tokens.
    pub log_prob: f64,
    /// What it is ranked by: the log-probability divided by `length ^ penalty`.
    pub score: f64,
}

impl Session {
    /// Searches for the likeliest answers to the prompt with the preference, best first, as many as there are beams.
    /// `on_step` hears of each token and may break off: what was found by then comes back.
    ///
    /// # Errors
    ///
    /// [`Error`] where the request can't be met or the device fails.
    pub async fn beam(
        &self,
        request: &BeamRequest,
        on_step: &mut impl AsyncFnMut(usize) -> ControlFlow<()>,
    ) -> Result<Vec<Hypothesis>, Error> {
        request.params.check_ranges()?;
        let conversation = &request.conversation;
        let prompts = self.prompts(
            conversation,
            &[Stream::pref()],
            request.generation_prompt,
            true,
        )?;
        let prompts: Vec<Vec<u32>> = prompts.into_iter().map(|encoded| encoded.ids).collect();
        let context = self.decoder.config().context;
        let most = most_tokens(prompts[0].len(), request.max_new_tokens, context)?;
        let mut search = BeamSearch::new(request.params);
        let beams = request.params.beams;
        let prefill = self.decoder.prefill_forks(&prompts, most, beams, self.kv)?;
        let (mut logits, mut cache) = prefill.finish()?;
        let mut rows = vec![0];
        let mut cancelled = false;
        for step in 1..=most {
            let candidates = self.candidates(logits, rows.len(), &search).await?;
            let is_end = |id| self.text.tokenizer.is_end_of_generation(id);
            let parents = search.advance(&candidates, is_end);
            cancelled = on_step(step).await.is_break();
            if search.is_done() || cancelled || step == most {
                break;
            }
            rows = follow(&mut cache, &rows, &parents);
            let tokens: Vec<i32> = search.last_tokens().map(|id| id as i32).collect();
            let tokens = sampler::ints(tokens, &self.device.device);
            logits = self.decoder.step_rows(tokens, &rows, &mut cache)?;
        }
        let prompt = &prompts[0];
        let found = search.finish().into_iter();
        found
            .map(|sequence| self.hypothesis(prompt, sequence, cancelled))
            .collect()
    }

    /// The best next tokens of each beam.
    async fn candidates(
        &self,
        logits: Logits,
        rows: usize,
        search: &BeamSearch,
    ) -> Result<Vec<Vec<(u32, f32)>>, Error> {
        let vocab = self.decoder.config().vocab;
        let beams: Vec<Vec<(usize, f32)>> = (0..rows).map(|row| vec![(row, 1.0)]).collect();
        let (top, device) = (search.candidates().min(vocab), &self.device.device);
        let mut sampler = Sampler::new(&Sampling::default(), &beams, 0, top, vocab, device)?;
        let chosen = read_ids(sampler.choose(logits), &self.device).await?;
        let chosen = sampler::read(&chosen, rows);
        if chosen.iter().any(|chosen| chosen.id.is_none()) {
            return Err(self.not_a_number());
        }
        Ok(chosen.into_iter().map(|chosen| chosen.top).collect())
    }

    fn hypothesis(
        &self,
        prompt: &[u32],
        sequence: Sequence,
        cancelled: bool,
    ) -> Result<Hypothesis, Error> {
        let Sequence {
            tokens,
            log_prob,
            score,
            ended,
        } = sequence;
        let spoken = &tokens[..tokens.len() - usize::from(ended)];
        let mut stream = self.text.tokenizer.detokenize_stream();
        let mut text = String::new();
        for id in spoken {
            text.push_str(&stream.push(*id)?);
        }
        text.push_str(&stream.finish());
        Ok(Hypothesis {
            generation: Generation {
                text,
                finish_reason: match (ended, cancelled) {
                    (true, _) => FinishReason::Stop,
                    (false, true) => FinishReason::Cancelled,
                    (false, false) => FinishReason::Length,
                },
                prompt_token_ids: vec![(Stream::pref().name, prompt.to_vec())],
                strengths: vec![0.0; tokens.len()],
                kl: Vec::new(),
                token_ids: tokens,
            },
            log_prob,
            score,
        })
    }
}

/// The rows of the new beams: the first that goes on from a row takes it over, the others fork it, and what nobody
/// goes on from is given up.
fn follow(cache: &mut KvCache, rows: &[usize], parents: &[usize]) -> Vec<usize> {
    let mut taken = vec![false; rows.len()];
    let next = parents
        .iter()
        .map(|parent| {
            let row = rows[*parent];
            match std::mem::replace(&mut taken[*parent], true) {
                false => row,
                true => cache.fork(row, cache.tokens(row)),
            }
        })
        .collect();
    for (row, _) in rows.iter().zip(&taken).filter(|(_, taken)| !**taken) {
        cache.release(*row);
    }
    next
}
