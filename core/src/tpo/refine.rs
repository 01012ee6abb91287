//! The loop.

use super::budget::{conversation, fit};
use super::generator::{Draft, Generator, Job, Writing};
use super::progress::{Outcome, Progress, Query, Stage};
use super::prompts::{Parts, PromptName, Prompts};
use super::record::{Candidate, Line};
use super::{Check, Error, Mode, Options};
use crate::decoding::{Conversation, Sampling};
use crate::reward::Reward;
use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;

/// An improved text stands between these two: the first begins the model's turn, the second ends it.
const OPEN: &str = "<IMPROVED_VARIABLE>";
const CLOSE: &str = "</IMPROVED_VARIABLE>";

/// Refines the answer to `query`. `recorded` are the lines of an earlier run with the same settings that was killed or
/// broken off: what they hold is not generated again. `on_progress` may break off after anything; the best so far comes
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
    recorded: Vec<Line>,
    on_progress: &mut impl AsyncFnMut(Progress<'_>) -> ControlFlow<()>,
) -> Result<Outcome, Error> {
    options.validate()?;
    let mut run = Run {
        query,
        options,
        prompts,
        generator,
        reward,
        recorded: recorded.into(),
        on_progress,
        outcome: Outcome {
            candidates: BTreeMap::new(),
            rewards: BTreeMap::new(),
            best: None,
            generations: 0,
            tokens: 0,
            cancelled: false,
        },
    };
    run.reward.forget();
    run.outcome.cancelled = run.go().await?.is_break();
    let outcome = &mut run.outcome;
    outcome.best = outcome.best.or(outcome.candidates.keys().next().copied());
    Ok(run.outcome)
}

struct Run<'a, G, R, F> {
    query: &'a Query,
    options: &'a Options,
    prompts: &'a Prompts,
    generator: &'a G,
    reward: &'a mut R,
    recorded: VecDeque<Line>,
    on_progress: &'a mut F,
    outcome: Outcome,
}

type Heard<T = ()> = Result<ControlFlow<(), T>, Error>;

/// The value, or out: a caller who breaks off is heard everywhere.
macro_rules! go_on {
    ($heard:expr) => {
        match $heard {
            ControlFlow::Continue(value) => value,
            ControlFlow::Break(()) => return Ok(ControlFlow::Break(())),
        }
    };
}

impl<G, R, F> Run<'_, G, R, F>
where
    G: Generator,
    R: Reward,
    F: AsyncFnMut(Progress<'_>) -> ControlFlow<()>,
{
    async fn go(&mut self) -> Heard {
        let begin = Line::Run {
            query: self.query.question.clone(),
            preference: self.query.preference.clone(),
            options: Box::new(self.options.clone()),
            reward: self.reward.name(),
            prompts: self.prompts.name.clone(),
        };
        match self.recorded.front() {
            None => go_on!(self.tell(begin).await),
            Some(line) if *line == begin => {}
            Some(_) => return Err(Error::OtherRun(self.query.question.clone())),
        }
        let mut check = Check::new(self.options);
        for (line, recorded) in (1..).zip(&self.recorded) {
            let taken = check.take(recorded);
            taken.map_err(|why| Error::Damaged { line, why })?;
        }
        self.recorded.pop_front();
        let first = Conversation {
            system: self.query.system.clone(),
            earlier: self.query.earlier.clone(),
            question: self.query.question.clone(),
            ..Conversation::default()
        };
        go_on!(self.responses(0, first, "", "").await?);
        if self.outcome.candidates.is_empty() {
            return Err(Error::NoCandidate(self.options.samples));
        }
        let (mut best, mut worst) = go_on!(self.scores(0).await?);
        for round in 1..=self.options.depth() {
            (best, worst) = go_on!(self.round(round, best, worst).await?);
        }
        let end = Line::End {
            best,
            reward: self.outcome.rewards[&best],
            generations: self.outcome.generations,
            tokens: self.outcome.tokens,
        };
        match self.recorded.pop_front() {
            Some(_) => Ok(ControlFlow::Continue(())),
            None => Ok(self.tell(end).await),
        }
    }

    /// One round: loss, gradient, updates, scores. Gives the best and the worst after it.
    async fn round(&mut self, round: usize, best: usize, worst: usize) -> Heard<(usize, usize)> {
        let text = |number: usize| self.outcome.candidates[&number].text.clone();
        let mut parts = Parts {
            query: self.query.question.clone(),
            preference: self.query.preference.clone().unwrap_or_default(),
            chosen: text(best),
            ..Parts::default()
        };
        // Of one response alone there is nothing to hold it against.
        let loss = match self.options.mode == Mode::Tpo && text(worst) != text(best) {
            true => {
                parts.rejected = text(worst);
                PromptName::Compare
            }
            false => PromptName::Evaluate,
        };
        parts.critique = go_on!(self.text(round, loss, parts.clone()).await?);
        parts.feedback = go_on!(
            self.text(round, PromptName::Feedback, parts.clone())
                .await?
        );
        let room = self.room();
        let (generator, prompts) = (self.generator, self.prompts);
        let fitted = fit(generator, prompts, PromptName::Improve, parts, room, OPEN)?;
        let update = Line::Update {
            round,
            input: fitted.input.clone(),
            shortened: fitted.shortened,
        };
        match self.has(|line| matches!(line, Line::Update { .. })) {
            true => drop(self.recorded.pop_front()),
            false => {
                self.nothing_left()?;
                go_on!(self.tell(update).await)
            }
        }
        let prefix = format!("{OPEN}\n");
        let prompt = conversation(&fitted.input);
        go_on!(self.responses(round, prompt, &prefix, CLOSE).await?);
        self.scores(round).await
    }

    /// Tokens kept free for what a prompt asks for.
    fn room(&self) -> usize {
        self.options
            .max_new_tokens
            .min(self.generator.context() / 3)
    }

    /// The first number of a round's generations: N responses, a loss and a gradient each.
    fn first(&self, round: usize) -> u32 {
        (round * (self.options.samples + 2)) as u32
    }

    /// Writes a round's N responses.
    async fn responses(
        &mut self,
        round: usize,
        conversation: Conversation,
        prefix: &str,
        stop: &str,
    ) -> Heard {
        let n = self.options.samples;
        let mut done = vec![false; n];
        while let Some(line) = self.recorded.pop_front() {
            match line {
                Line::Candidate(candidate) if candidate.round == round => {
                    done[candidate.index] = true;
                    self.outcome.tokens += candidate.tokens;
                    let number = round * n + candidate.index;
                    self.outcome.candidates.insert(number, candidate);
                }
                // Later ones are of the reward.
                Line::Dropped {
                    round: of,
                    index,
                    tokens,
                    ..
                } if of == round && !done[index] => {
                    done[index] = true;
                    self.outcome.tokens += tokens;
                }
                line => {
                    self.recorded.push_front(line);
                    break;
                }
            }
        }
        self.outcome.generations += n;
        if done.iter().all(|done| *done) {
            return Ok(ControlFlow::Continue(()));
        }
        self.nothing_left()?;
        // The whole batch, so that no response depends on where an earlier run was killed.
        let job = Job {
            conversation,
            aligned: true,
            prefix: prefix.to_owned(),
            stop: stop.to_owned(),
            n,
            first: self.first(round),
            sampling: self.options.sampling,
            max_new_tokens: self.options.max_new_tokens,
        };
        let (outcome, on_progress) = (&mut self.outcome, &mut *self.on_progress);
        let mut heard = ControlFlow::Continue(());
        let mut listen = async |event: Writing<'_>| {
            heard = match event {
                Writing::Done { index, .. } if done[index] => ControlFlow::Continue(()),
                Writing::Done { index, draft } => {
                    done[index] = true;
                    outcome.tokens += draft.tokens;
                    let line = response(round, index, draft);
                    if let Line::Candidate(candidate) = &line {
                        let number = round * n + index;
                        outcome.candidates.insert(number, candidate.clone());
                    }
                    on_progress(Progress::Line(&line)).await
                }
                _ => match event.progress(round, Stage::Responses) {
                    Some(progress) => on_progress(progress).await,
                    None => ControlFlow::Continue(()),
                },
            };
            heard
        };
        self.generator.write(&job, &mut listen).await?;
        Ok(heard)
    }

    /// Writes a loss or a gradient.
    async fn text(&mut self, round: usize, name: PromptName, parts: Parts) -> Heard<String> {
        self.outcome.generations += 1;
        if self.has(|line| matches!(line, Line::Text { prompt, .. } if *prompt == name))
            && let Some(Line::Text { text, tokens, .. }) = self.recorded.pop_front()
        {
            self.outcome.tokens += tokens;
            return Ok(ControlFlow::Continue(text));
        }
        self.nothing_left()?;
        let room = self.room();
        let fitted = fit(self.generator, self.prompts, name, parts, room, "")?;
        let place = match name {
            PromptName::Compare | PromptName::Evaluate => self.options.samples,
            PromptName::Feedback | PromptName::Improve => self.options.samples + 1,
        };
        let job = Job {
            conversation: conversation(&fitted.input),
            aligned: false,
            prefix: String::new(),
            stop: String::new(),
            n: 1,
            first: self.first(round) + place as u32,
            sampling: Sampling {
                top_p: self.options.text_top_p,
                ..self.options.sampling
            },
            max_new_tokens: self.options.max_new_tokens,
        };
        let on_progress = &mut *self.on_progress;
        let mut heard = ControlFlow::Continue(());
        let mut listen = async |event: Writing<'_>| {
            if let Some(progress) = event.progress(round, Stage::Text(name)) {
                heard = on_progress(progress).await;
            }
            heard
        };
        let drafts = self.generator.write(&job, &mut listen).await?;
        go_on!(heard);
        let (text, tokens) = drafts.into_iter().next().map_or_else(
            || (String::new(), 0),
            |draft| (draft.text.trim().to_owned(), draft.tokens),
        );
        self.outcome.tokens += tokens;
        let line = Line::Text {
            round,
            prompt: name,
            input: fitted.input,
            text: text.clone(),
            tokens,
            shortened: fitted.shortened,
        };
        go_on!(self.tell(line).await);
        Ok(ControlFlow::Continue(text))
    }

    /// Scores a round's responses, each different one once. Gives the best and the worst so far.
    async fn scores(&mut self, round: usize) -> Heard<(usize, usize)> {
        let numbers = round * self.options.samples..(round + 1) * self.options.samples;
        while self.has(|line| matches!(line, Line::Dropped { .. })) {
            self.recorded.pop_front();
        }
        if self.has(|line| matches!(line, Line::Scores { round: of, .. } if *of == round))
            && let Some(Line::Scores {
                rewards,
                duplicates,
                best,
                worst,
                ..
            }) = self.recorded.pop_front()
        {
            for (number, reward) in &rewards {
                let candidate = self.outcome.candidates.get(number);
                let is_new = duplicates.iter().all(|(duplicate, _)| duplicate != number);
                if let Some(candidate) = candidate.filter(|_| is_new) {
                    self.reward.recall(&candidate.text, *reward);
                }
            }
            self.outcome.rewards.extend(rewards);
            self.outcome.best = Some(best);
            return Ok(ControlFlow::Continue((best, worst)));
        }
        self.nothing_left()?;
        let candidates = &self.outcome.candidates;
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
        let texts: Vec<&str> = fresh
            .iter()
            .map(|number| candidates[number].text.as_str())
            .collect();
        let scores = match texts.is_empty() {
            true => Vec::new(),
            false => {
                let anchor = candidates.values().next().map_or("", |first| &first.text);
                self.reward
                    .score(&self.query.question, anchor, &texts)
                    .await?
            }
        };
        let mut cut = self.reward.take_cuts();
        for cut in &mut cut {
            cut.response = fresh.get(cut.response).copied().unwrap_or(cut.response);
        }
        let mut dropped = Vec::new();
        for (number, score) in fresh.into_iter().zip(scores) {
            if score.is_finite() {
                self.outcome.rewards.insert(number, score);
            } else {
                dropped.push(number);
            }
        }
        for (number, earlier) in &duplicates {
            if let Some(score) = self.outcome.rewards.get(earlier).copied() {
                self.outcome.rewards.insert(*number, score);
            }
        }
        for number in dropped {
            let reason = format!("the reward {} gave no number", self.reward.name());
            let index = number - numbers.start;
            let line = Line::Dropped {
                round,
                index,
                tokens: 0,
                reason,
            };
            go_on!(self.tell(line).await);
        }
        let rewards = &self.outcome.rewards;
        // Of equal rewards the first.
        let best = rewards.iter().reduce(|a, b| if b.1 > a.1 { b } else { a });
        let worst = rewards.iter().reduce(|a, b| if b.1 < a.1 { b } else { a });
        let (Some((&best, _)), Some((&worst, _))) = (best, worst) else {
            return Err(Error::NoCandidate(self.options.samples));
        };
        self.outcome.best = Some(best);
        let line = Line::Scores {
            round,
            rewards: rewards.range(numbers).map(|(n, r)| (*n, *r)).collect(),
            duplicates,
            cut,
            best,
            worst,
        };
        go_on!(self.tell(line).await);
        Ok(ControlFlow::Continue((best, worst)))
    }

    /// Refuses to write anew what would stand behind lines that the record still has: they are of a run that went
    /// another way.
    fn nothing_left(&self) -> Result<(), Error> {
        match self.recorded.is_empty() {
            true => Ok(()),
            false => Err(Error::OtherRun(self.query.question.clone())),
        }
    }

    /// Whether the record goes on with such a line.
    fn has(&self, is_such: impl Fn(&Line) -> bool) -> bool {
        self.recorded.front().is_some_and(is_such)
    }

    async fn tell(&mut self, line: Line) -> ControlFlow<()> {
        (self.on_progress)(Progress::Line(&line)).await
    }
}

/// A draft as a candidate, or as one that is left out.
fn response(round: usize, index: usize, draft: &Draft) -> Line {
    let text = clean(&draft.text).to_owned();
    match text.is_empty() {
        true => Line::Dropped {
            round,
            index,
            tokens: draft.tokens,
            reason: "it is empty".to_owned(),
        },
        false => Line::Candidate(Candidate {
            round,
            index,
            text,
            tokens: draft.tokens,
            finish_reason: draft.finish_reason,
        }),
    }
}

/// The text alone: a model that is given the opening tag may write it again.
fn clean(text: &str) -> &str {
    let mut text = text.trim();
    while let Some(rest) = text.strip_prefix(OPEN) {
        text = rest.trim_start();
    }
    text
}
