//! The loop.

use super::budget::{Fitted, conversation, fit};
use super::event::{RunEvent, Stage};
use super::generator::{Draft, Generator, WriteEvent, WriteRequest};
use super::outcome::{Outcome, highest};
use super::prompts::{PromptName, Prompts};
use super::record::{Candidate, RecordLine};
use super::state::{Action, State};
use super::{Error, Mode, Options, Query};
use crate::decoding::{Conversation, Sampling};
use crate::reward::{Response, Reward};
use crate::session::FinishReason;
use std::ops::ControlFlow;

/// An improved text stands between these two: the first begins the model's turn, the second ends it.
const OPEN: &str = "<IMPROVED_VARIABLE>";
const CLOSE: &str = "</IMPROVED_VARIABLE>";

/// Tokens that a text of the loop must have room for, where the context is short.
const LEAST_ROOM: usize = 32;

/// Refines the answer to `query`. `recorded` are the lines of an earlier run with the same settings that was killed or
/// broken off: what they hold is not generated again. `on_event` may break off after anything; the best so far comes
/// back then.
///
/// # Errors
///
/// [`Error`] where a setting is out of range, the record is another run's, or the generator or the reward fails.
pub async fn refine<G: Generator, R: Reward>(
    query: &Query,
    options: &Options,
    prompts: &Prompts,
    generator: &G,
    reward: &mut R,
    recorded: Vec<RecordLine>,
    on_event: &mut impl AsyncFnMut(RunEvent<'_>) -> ControlFlow<()>,
) -> Result<Outcome, Error> {
    options.validate()?;
    reward.begin(&query.question);
    let mut run = Run {
        query,
        options,
        prompts,
        generator,
        reward,
        told: Told {
            state: State::new(options),
            lines: 0,
            on_event,
            heard: ControlFlow::Continue(()),
        },
    };
    run.take_up(&recorded)?;
    // Of a run that is broken off those that were under way, too.
    let mut generations = 0;
    while run.told.heard.is_continue() {
        let action = run.told.state.next_action();
        generations = run.told.state.outcome.generations + action.generations();
        match action {
            Action::Begin => run.told.tell(run.begin()).await?,
            Action::Respond(missing) => run.respond(&missing).await?,
            Action::Score => run.score().await?,
            Action::Write(prompt) => run.write(prompt).await?,
            Action::Update => run.update().await?,
            Action::End => run.end().await?,
            Action::Done => break,
        }
    }
    let cancelled = run.told.heard.is_break();
    let outcome = run.told.state.outcome;
    let first = outcome.candidates.keys().next().copied();
    Ok(Outcome {
        best: outcome.best.or(first),
        generations,
        cancelled,
        ..outcome
    })
}

struct Run<'a, G, R, F> {
    query: &'a Query,
    options: &'a Options,
    prompts: &'a Prompts,
    generator: &'a G,
    reward: &'a mut R,
    told: Told<'a, F>,
}

/// The run as far as it is told, and who listens.
struct Told<'a, F> {
    state: State,
    lines: usize,
    on_event: &'a mut F,
    heard: ControlFlow<()>,
}

impl<F: AsyncFnMut(RunEvent<'_>) -> ControlFlow<()>> Told<'_, F> {
    fn apply(&mut self, line: &RecordLine) -> Result<(), Error> {
        self.lines += 1;
        let (line, taken) = (self.lines, self.state.apply(line));
        taken.map_err(|why| Error::Damaged { line, why })
    }

    /// Tells a line, unless who listens has broken off.
    async fn tell(&mut self, line: RecordLine) -> Result<(), Error> {
        if self.heard.is_continue() {
            self.apply(&line)?;
            let (line, state) = (&line, &self.state);
            self.heard = (self.on_event)(RunEvent::Line { line, state }).await;
        }
        Ok(())
    }

    /// Tells of a text under way.
    async fn hear(&mut self, event: WriteEvent<'_>, round: usize, stage: Stage) {
        if let Some(event) = event.of_run(round, stage) {
            self.heard = (self.on_event)(event).await;
        }
    }
}

impl<G, R, F> Run<'_, G, R, F>
where
    G: Generator,
    R: Reward,
    F: AsyncFnMut(RunEvent<'_>) -> ControlFlow<()>,
{
    /// Folds an earlier run's lines.
    fn take_up(&mut self, recorded: &[RecordLine]) -> Result<(), Error> {
        let other = || Error::OtherRun(self.query.question.clone());
        if recorded.first().is_some_and(|line| *line != self.begin()) {
            return Err(other());
        }
        let mut goes_another_way = false;
        for line in recorded {
            if let (RecordLine::Text { prompt, .. }, Action::Write(wanted)) =
                (line, self.told.state.next_action())
            {
                goes_another_way |= *prompt != wanted;
            }
            self.told.apply(line)?;
            let RecordLine::Scores {
                rewards,
                duplicates,
                nll_limit,
                ..
            } = line
            else {
                continue;
            };
            if let Some(limit) = nll_limit {
                self.reward.set_nll_limit(*limit);
            }
            for (number, reward) in rewards {
                if duplicates.iter().all(|(duplicate, _)| duplicate != number) {
                    let response = &self.told.state.outcome.candidates[number];
                    self.reward.recall(&response.text, *reward);
                }
            }
        }
        match goes_another_way {
            true => Err(other()),
            false => Ok(()),
        }
    }

    fn begin(&self) -> RecordLine {
        RecordLine::Run {
            query: self.query.question.clone(),
            preference: self.query.preference.clone(),
            options: Box::new(self.options.clone()),
            reward: self.reward.name(),
            prompts: self.prompts.name.clone(),
        }
    }

    /// Writes the round's responses: the whole batch, so that none depends on where an earlier run was killed. Those at
    /// `missing` are told.
    async fn respond(&mut self, missing: &[usize]) -> Result<(), Error> {
        let round = self.told.state.round();
        let (conversation, prefix, stop) = match &self.told.state.input {
            None => (self.question(), String::new(), ""),
            Some(input) => (conversation(input), format!("{OPEN}\n"), CLOSE),
        };
        let request = WriteRequest {
            conversation,
            aligned: true,
            prefix,
            stop: stop.to_owned(),
            n: self.options.samples,
            first: self.first(),
            sampling: self.options.sampling,
            max_new_tokens: self.options.max_new_tokens,
        };
        let told = &mut self.told;
        let mut taken = Ok(());
        let mut listen = async |event: WriteEvent<'_>| {
            match event {
                WriteEvent::Done { index, draft } if missing.contains(&index) => {
                    taken = told.tell(response(round, index, draft)).await;
                }
                event => told.hear(event, round, Stage::Responses).await,
            }
            match taken {
                Ok(()) => told.heard,
                Err(_) => ControlFlow::Break(()),
            }
        };
        self.generator.write(&request, &mut listen).await?;
        taken
    }

    /// The question as it is asked first.
    fn question(&self) -> Conversation {
        Conversation {
            system: self.query.system.clone(),
            earlier: self.query.earlier.clone(),
            question: self.query.question.clone(),
            ..Conversation::default()
        }
    }

    /// A prompt of the round, with room for what it asks for.
    fn fitted(&self, prompt: PromptName, prefix: &str) -> Result<Fitted, Error> {
        let context = self.generator.context();
        let most = match prompt {
            PromptName::Improve => self.options.max_new_tokens,
            _ => self.options.max_text_tokens,
        };
        let parts = &self.told.state.parts;
        let mut room = most.min(context / 3);
        loop {
            match fit(self.generator, self.prompts, prompt, parts, room, prefix) {
                // A prompt that leaves less room is better than none.
                Err(Error::NoRoom { .. }) if room / 2 >= LEAST_ROOM => room /= 2,
                fitted => return fitted,
            }
        }
    }

    /// The first number of the round's generations: N responses, a loss and a gradient. Best-of-N has no texts, and its
    /// first N responses are any run's.
    fn first(&self) -> u32 {
        let texts = match self.options.mode {
            Mode::Bon => 0,
            Mode::Tpo | Mode::Revision => 2,
        };
        (self.told.state.round() * (self.options.samples + texts)) as u32
    }

    /// Writes a loss or a gradient.
    async fn write(&mut self, prompt: PromptName) -> Result<(), Error> {
        let round = self.told.state.round();
        let fitted = self.fitted(prompt, "")?;
        let place = match prompt {
            PromptName::Compare | PromptName::Evaluate => self.options.samples,
            PromptName::Feedback | PromptName::Improve => self.options.samples + 1,
        };
        let request = WriteRequest {
            conversation: conversation(&fitted.input),
            aligned: false,
            prefix: String::new(),
            stop: String::new(),
            n: 1,
            first: self.first() + place as u32,
            sampling: Sampling {
                top_p: self.options.text_top_p,
                ..self.options.sampling
            },
            max_new_tokens: self.options.max_text_tokens,
        };
        let told = &mut self.told;
        let mut listen = async |event: WriteEvent<'_>| {
            told.hear(event, round, Stage::Text(prompt)).await;
            told.heard
        };
        let drafts = self.generator.write(&request, &mut listen).await?;
        let draft = drafts.into_iter().next();
        let finish_reason = draft.as_ref().map(|draft| draft.finish_reason);
        let (text, tokens) = draft.map_or_else(
            || (String::new(), 0),
            |draft| (draft.text.trim().to_owned(), draft.tokens),
        );
        let line = RecordLine::Text {
            round,
            prompt,
            input: fitted.input,
            text,
            tokens,
            finish_reason,
            shortened: fitted.shortened,
        };
        self.told.tell(line).await
    }

    /// Makes the prompt of the round's updates.
    async fn update(&mut self) -> Result<(), Error> {
        let round = self.told.state.round();
        let fitted = self.fitted(PromptName::Improve, OPEN)?;
        let line = RecordLine::Update {
            round,
            input: fitted.input,
            shortened: fitted.shortened,
        };
        self.told.tell(line).await
    }

    /// Scores the round's responses, each different one once.
    async fn score(&mut self) -> Result<(), Error> {
        let (round, numbers) = (self.told.state.round(), self.told.state.numbers());
        let Outcome {
            candidates,
            rewards,
            ..
        } = &self.told.state.outcome;
        let mut rewards = rewards.clone();
        let mut fresh: Vec<usize> = Vec::new();
        let mut duplicates: Vec<(usize, usize)> = Vec::new();
        for (number, candidate) in candidates.range(numbers.clone()) {
            let equal = candidates
                .range(..*number)
                .find(|(_, earlier)| earlier.text == candidate.text);
            match equal {
                Some((earlier, _)) => duplicates.push((*number, *earlier)),
                None => fresh.push(*number),
            }
        }
        let response = |number: &usize| {
            let candidate = &candidates[number];
            Response {
                text: &candidate.text,
                ended: candidate.finish_reason == FinishReason::Stop,
            }
        };
        let responses: Vec<Response<'_>> = fresh.iter().map(response).collect();
        let scores = match responses.is_empty() {
            true => Vec::new(),
            false => {
                let anchor = candidates.values().next().map_or("", |first| &first.text);
                self.reward
                    .score(&self.query.question, anchor, &responses)
                    .await?
            }
        };
        let mut cut = self.reward.take_cuts();
        for cut in &mut cut {
            cut.response = fresh.get(cut.response).copied().unwrap_or(cut.response);
        }
        for (number, score) in fresh.into_iter().zip(scores) {
            let index = number - numbers.start;
            if score.is_finite() {
                rewards.insert(number, score);
            } else if !self.told.state.unscored.contains(&index) {
                let line = RecordLine::Dropped {
                    round,
                    index,
                    tokens: 0,
                    reason: format!("the reward {} gave no number", self.reward.name()),
                };
                self.told.tell(line).await?;
            }
        }
        if self.told.heard.is_break() {
            return Ok(());
        }
        for (number, earlier) in &duplicates {
            if let Some(score) = rewards.get(earlier).copied() {
                rewards.insert(*number, score);
            }
        }
        // Of equal rewards the first.
        let worst = rewards.iter().reduce(|a, b| if b.1 < a.1 { b } else { a });
        let (Some((best, _)), Some((&worst, _))) = (highest(rewards.iter()), worst) else {
            return Err(Error::NoCandidate(self.options.samples));
        };
        let line = RecordLine::Scores {
            round,
            rewards: rewards.range(numbers).map(|(n, r)| (*n, *r)).collect(),
            duplicates,
            cut,
            nll_limit: self.reward.nll_limit(),
            best,
            worst,
        };
        self.told.tell(line).await
    }

    /// Tells the end.
    async fn end(&mut self) -> Result<(), Error> {
        let outcome = &self.told.state.outcome;
        let (Some(best), Some(reward)) = (outcome.best, outcome.reward()) else {
            return Err(Error::NoCandidate(self.options.samples));
        };
        let line = RecordLine::End {
            best,
            reward,
            generations: outcome.generations,
            tokens: outcome.tokens,
        };
        self.told.tell(line).await
    }
}

/// A draft as a candidate, or as one that is left out.
fn response(round: usize, index: usize, draft: &Draft) -> RecordLine {
    let text = clean(&draft.text).to_owned();
    match text.is_empty() {
        true => RecordLine::Dropped {
            round,
            index,
            tokens: draft.tokens,
            reason: "it is empty".to_owned(),
        },
        false => RecordLine::Candidate(Candidate {
            round,
            index,
            text,
            tokens: draft.tokens,
            finish_reason: draft.finish_reason,
        }),
    }
}

/// The text alone. A model that is given the opening tag may write it again, before its text or in place of the closing
/// one behind it.
fn clean(text: &str) -> &str {
    let mut text = text.trim();
    while let Some(rest) = text.strip_prefix(OPEN) {
        text = rest.trim_start();
    }
    text.split(OPEN).next().unwrap_or(text).trim_end()
}
