//! The loop under scripted generators and rewards: whatever they do, its promises hold.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::decoding::Conversation;
use crate::reward::{Response, Reward, RewardError};
use crate::session::FinishReason;
use proptest::prelude::*;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::ControlFlow;

mod baseline;
mod prompts_fit;
mod state;

/// Texts that look like the loop's own marks, and nothing at all.
const WORDS: [&str; 8] = [
    "a plain answer. It has two sentences.",
    "another answer",
    "<IMPROVED_VARIABLE> nested <IMPROVED_VARIABLE>",
    "x <SEP> y {{ query }} {% endif %}",
    "<|im_end|><|im_start|>system",
    "   ",
    "ümlaut, 漢字. Ende!",
    "another answer",
];

/// Writes words that depend on a text's number and its prompt's length alone.
struct Scripted {
    seed: u64,
    context: usize,
}

fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

impl Generator for Scripted {
    fn context(&self) -> usize {
        self.context
    }

    fn count(&self, conversation: &Conversation, prefix: &str) -> Result<usize, Error> {
        let system = conversation.system.as_ref().map_or(0, String::len);
        Ok((system + conversation.question.len() + prefix.len()) / 4)
    }

    async fn write(
        &self,
        request: &WriteRequest,
        on_event: &mut impl AsyncFnMut(WriteEvent<'_>) -> ControlFlow<()>,
    ) -> Result<Vec<Draft>, Error> {
        let count = self.count(&request.conversation, &request.prefix)?;
        assert!(count < self.context, "a prompt of {count} tokens");
        let mut drafts = Vec::new();
        for index in 0..request.n {
            let number = u64::from(request.first) + index as u64;
            let word = WORDS[(mix(self.seed ^ mix(number)) % 8) as usize];
            let text = match number % 3 {
                0 => word.to_owned(),
                _ => format!("{word} {}", word.repeat((number % 5) as usize)),
            };
            for piece in text.split_inclusive(' ') {
                if on_event(WriteEvent::Token { index, text: piece })
                    .await
                    .is_break()
                {
                    return Ok(drafts);
                }
            }
            let draft = Draft {
                tokens: text.len(),
                text,
                finish_reason: FinishReason::Stop,
            };
            let heard = on_event(WriteEvent::Done {
                index,
                draft: &draft,
            })
            .await;
            drafts.push(draft);
            if heard.is_break() {
                break;
            }
        }
        Ok(drafts)
    }
}

/// Scores by a text's bytes, and counts how often.
#[derive(Default)]
struct Counting {
    seed: u64,
    /// Gives no number to one text in five.
    fails: bool,
    asked: RefCell<HashMap<String, usize>>,
}

impl Reward for Counting {
    fn name(&self) -> String {
        "counting".to_owned()
    }

    async fn score(
        &mut self,
        _: &str,
        _: &str,
        responses: &[Response<'_>],
    ) -> Result<Vec<f64>, RewardError> {
        let score = |Response { text, .. }: &Response<'_>| {
            *self
                .asked
                .borrow_mut()
                .entry((*text).to_owned())
                .or_default() += 1;
            let hash = text
                .bytes()
                .fold(self.seed, |hash, byte| mix(hash ^ u64::from(byte)));
            match self.fails && hash % 5 == 0 {
                true => f64::NAN,
                false => (hash % 100) as f64 - 50.0,
            }
        };
        Ok(responses.iter().map(score).collect())
    }
}

struct Case {
    options: Options,
    generator: Scripted,
    reward: Counting,
}

impl Case {
    fn new(mode: Mode, samples: usize, rounds: usize, seed: u64) -> Self {
        Self {
            options: Options {
                mode,
                samples,
                rounds,
                max_new_tokens: 40,
                ..Options::default()
            },
            generator: Scripted {
                seed,
                context: 4000,
            },
            reward: Counting {
                seed,
                ..Counting::default()
            },
        }
    }

    /// Runs from `recorded` on and breaks off at the event number `stop`.
    fn run(
        &mut self,
        recorded: &[RecordLine],
        stop: usize,
    ) -> Result<(Outcome, Vec<RecordLine>), Error> {
        let query = Query {
            question: "Why </IMPROVED_VARIABLE>?".to_owned(),
            ..Query::default()
        };
        let (mut lines, mut events) = (recorded.to_vec(), 0);
        let mut listen = async |event: RunEvent<'_>| {
            if let RunEvent::Line { line, .. } = event {
                lines.push(line.clone());
            }
            events += 1;
            match events > stop {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        };
        let prompts = Prompts::from(PromptSet::Compact);
        let (generator, reward) = (&self.generator, &mut self.reward);
        let run = refine(
            &query,
            &self.options,
            &prompts,
            generator,
            reward,
            recorded.to_vec(),
            &mut listen,
        );
        let outcome = pollster::block_on(run)?;
        Ok((outcome, lines))
    }
}

fn modes() -> impl Strategy<Value = Mode> {
    prop_oneof![Just(Mode::Tpo), Just(Mode::Revision), Just(Mode::Bon)]
}

proptest! {
    #[test]
    fn never_below_the_best_of_the_first(mode in modes(), n in 1usize..7, d in 0usize..4, seed in any::<u64>(), fails: bool) {
        let mut case = Case::new(mode, n, d, seed);
        case.reward.fails = fails;
        let mut first = Case::new(Mode::Bon, n, 0, seed);
        first.reward.fails = fails;
        let (Ok((outcome, lines)), Ok((bon, _))) = (case.run(&[], usize::MAX), first.run(&[], usize::MAX)) else {
            // All empty, or none scored: then for both.
            prop_assert!(first.run(&[], usize::MAX).is_err());
            return Ok(());
        };
        let reward = |outcome: &Outcome| outcome.rewards[&outcome.best.unwrap()];
        prop_assert!(reward(&outcome) >= reward(&bon));
        if d == 0 || mode == Mode::Bon {
            prop_assert_eq!(&outcome.answer().unwrap().text, &bon.answer().unwrap().text);
        }
        prop_assert_eq!(outcome.generations, case.options.generations());
        // Each text once, whatever round it came from.
        let asked = case.reward.asked.borrow();
        prop_assert!(asked.values().all(|count| *count == 1), "{asked:?}");
        let is_clean = |text: &str| !text.is_empty() && !text.contains("<IMPROVED_VARIABLE>");
        prop_assert!(outcome.candidates.values().all(|candidate| is_clean(&candidate.text)));
        let is_end = matches!(lines.last(), Some(RecordLine::End { .. }));
        prop_assert!(is_end && !outcome.cancelled);
    }

    #[test]
    fn goes_on_from_wherever_it_was_killed(n in 1usize..5, d in 0usize..3, seed in any::<u64>(), at in 0.0f64..1.0) {
        let Ok((whole, lines)) = Case::new(Mode::Tpo, n, d, seed).run(&[], usize::MAX) else { return Ok(()) };
        let kept = &lines[..(at * lines.len() as f64) as usize];
        // As a file brings them.
        let kept: Vec<RecordLine> = kept
            .iter()
            .map(|line| serde_json::from_str(&serde_json::to_string(line).unwrap()).unwrap())
            .collect();
        let (again, all) = Case::new(Mode::Tpo, n, d, seed).run(&kept, usize::MAX).unwrap();
        prop_assert_eq!(all, lines);
        prop_assert_eq!(again, whole);
    }

    #[test]
    fn broken_off_anywhere_it_gives_the_best_so_far(n in 1usize..5, seed in any::<u64>(), stop in 0usize..200) {
        let Ok((outcome, lines)) = Case::new(Mode::Tpo, n, 2, seed).run(&[], stop) else { return Ok(()) };
        let best = outcome.rewards.values().copied().reduce(f64::max);
        if let Some(best) = best {
            prop_assert_eq!(outcome.rewards[&outcome.best.unwrap()], best);
        }
        prop_assert_eq!(outcome.best.is_some(), !outcome.candidates.is_empty());
        if !outcome.cancelled {
            return Ok(());
        }
        // And can go on, to wherever it would have come.
        let again = Case::new(Mode::Tpo, n, 2, seed).run(&lines, usize::MAX).map(|(_, all)| all);
        let whole = Case::new(Mode::Tpo, n, 2, seed).run(&[], usize::MAX).map(|(_, all)| all);
        prop_assert_eq!(again.map_err(|error| error.to_string()), whole.map_err(|error| error.to_string()));
    }
}

#[test]
fn long_texts_are_shortened_and_said() {
    let mut case = Case::new(Mode::Tpo, 4, 2, 3);
    case.generator.context = 190;
    let (_, lines) = case.run(&[], usize::MAX).unwrap();
    let shortened = lines.iter().any(|line| match line {
        RecordLine::Text { shortened, .. } | RecordLine::Update { shortened, .. } => {
            !shortened.is_empty()
        }
        _ => false,
    });
    assert!(shortened);
    case.generator.context = 20;
    assert!(matches!(
        case.run(&[], usize::MAX),
        Err(Error::NoRoom { .. })
    ));
}

#[test]
fn another_runs_record_is_refused() {
    let (_, lines) = Case::new(Mode::Tpo, 2, 1, 1).run(&[], usize::MAX).unwrap();
    let other = Case::new(Mode::Tpo, 3, 1, 1).run(&lines, usize::MAX);
    assert!(matches!(other, Err(Error::OtherRun(_))));
}

#[test]
fn templates_are_checked_when_they_are_given() {
    let mut prompts = Prompts::from(PromptSet::Full);
    let fault = |template: &str| {
        prompts
            .clone()
            .replace(PromptName::Feedback, template.to_owned())
            .unwrap_err()
            .to_string()
    };
    assert!(fault("no line").contains("---"));
    assert!(fault("a\n---\n{{ nothing }}").contains("feedback"));
    assert!(
        fault(
            "a\n---\n{% for i in range(1000) %}{% for j in range(1000) %}{% endfor %}{% endfor %}"
        )
        .contains("fuel")
    );
    prompts
        .replace(PromptName::Feedback, "S\n---\nQ: {{ query }}".to_owned())
        .unwrap();
    let parts = prompts::PromptParts {
        query: "{{ chosen }}".to_owned(),
        ..prompts::PromptParts::default()
    };
    let (system, user) = prompts.render(PromptName::Feedback, &parts).unwrap();
    assert_eq!((system.as_str(), user.as_str()), ("S", "Q: {{ chosen }}"));
}

/// A number, changed: what a damaged record holds in its place.
fn damaged(value: &mut serde_json::Value, at: &mut usize, by: u64) -> bool {
    use serde_json::{Value, json};
    match value {
        Value::Object(map) => map.values_mut().any(|value| damaged(value, at, by)),
        Value::Array(list) => list.iter_mut().any(|value| damaged(value, at, by)),
        Value::Number(_) if *at > 0 => {
            *at -= 1;
            false
        }
        Value::Number(_) => {
            *value = [
                json!(0),
                json!(1),
                json!(7),
                json!(u64::MAX),
                json!(u32::MAX),
                json!(-1),
                json!(1e300),
                json!(2.5),
            ][(by % 8) as usize]
                .clone();
            true
        }
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Lines that are left out, doubled or exchanged, and numbers that are others: refused, or taken up, and never a panic.
    #[test]
    fn a_damaged_record_ends_nothing(n in 1usize..5, d in 0usize..3, seed in any::<u64>(), how in 0u8..5, a: prop::sample::Index, b: prop::sample::Index, by: u64) {
        let Ok((_, lines)) = Case::new(Mode::Tpo, n, d, seed).run(&[], usize::MAX) else { return Ok(()) };
        let mut kept = lines.clone();
        let (a, b) = (a.index(kept.len()), b.index(kept.len()));
        match how {
            0 => drop(kept.remove(a)),
            1 => kept.insert(b, lines[a].clone()),
            2 => kept.swap(a, b),
            _ => {
                let mut value = serde_json::to_value(&kept[a]).unwrap();
                damaged(&mut value, &mut (by as usize % 6), by);
                let Ok(line) = serde_json::from_value(value) else { return Ok(()) };
                kept[a] = line;
            }
        }
        if let Ok((outcome, all)) = Case::new(Mode::Tpo, n, d, seed).run(&kept, usize::MAX) {
            prop_assert!(outcome.best.is_some_and(|best| outcome.rewards.contains_key(&best)));
            // What was taken up is a run, from its first line to its last.
            let mut state = State::new(&Case::new(Mode::Tpo, n, d, seed).options);
            for line in &all {
                prop_assert_eq!(state.apply(line), Ok(()));
            }
        }
    }
}

#[test]
fn unknown_keys_are_refused() {
    let (_, lines) = Case::new(Mode::Tpo, 2, 1, 1).run(&[], usize::MAX).unwrap();
    for line in lines {
        let mut value = serde_json::to_value(&line).unwrap();
        value["more"] = 1.into();
        let error = serde_json::from_value::<RecordLine>(value)
            .unwrap_err()
            .to_string();
        assert!(error.contains("more"), "{error}");
    }
}
