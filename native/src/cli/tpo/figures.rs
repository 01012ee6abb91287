//! What a record comes to, in figures.

use super::format::{Content, RecordedRun, RunPart};
use periapt_core::contract::RecordHeader;
use periapt_core::tpo::{BestOf, Comparison, Outcome, RecordLine};
use serde_json::{Value, json};

/// One question's run.
pub struct Item {
    pub run: RecordedRun,
    pub baseline: Option<RecordedRun>,
}

/// A record with its questions.
pub struct Report {
    pub name: String,
    pub header: RecordHeader,
    /// Those that have at least their first rewards; at least one.
    pub items: Vec<Item>,
}

impl Report {
    /// `None` where no question has its first rewards yet.
    pub fn new(name: String, content: Content) -> Option<Self> {
        let Content { header, mut runs } = content;
        let mut items = Vec::new();
        while let Some(((item, part), run)) = runs.pop_first() {
            let baseline = runs.remove(&(item, RunPart::Baseline));
            if part == RunPart::Run && !run.outcome().rounds.is_empty() {
                items.push(Item { run, baseline });
            }
        }
        (!items.is_empty()).then_some(Self {
            name,
            header,
            items,
        })
    }
}

impl Item {
    /// How first responses alone did at equal cost, as far as that is known.
    pub fn compared<'a>(&'a self, header: &RecordHeader) -> Option<Compared<'a>> {
        let baseline = self.baseline.as_ref()?.outcome();
        Compared::new(self.run.outcome(), baseline, header)
    }
}

/// A run's comparison with first responses alone.
pub struct Compared<'a> {
    pub figures: Comparison,
    /// Tokens of the run.
    tokens: usize,
    baseline: &'a Outcome,
}

impl<'a> Compared<'a> {
    /// `None` where the comparison was not made, or has not come to as many responses as the run has generations.
    pub fn new(run: &Outcome, baseline: &'a Outcome, header: &RecordHeader) -> Option<Self> {
        Some(Self {
            figures: Comparison::new(run, baseline, header.options.generations())?,
            tokens: run.tokens,
            baseline,
        })
    }

    /// Whether the draws came to as many tokens as the run's.
    fn reached(&self) -> bool {
        self.figures.tokens.tokens >= self.tokens
    }

    /// At as many generations, as JSON.
    pub fn at_generations(&self) -> Value {
        self.best(self.figures.generations)
    }

    /// At as many tokens, as JSON.
    pub fn at_tokens(&self) -> Value {
        let mut object = self.best(self.figures.tokens);
        object["reached"] = json!(self.reached());
        object
    }

    fn best(&self, best: BestOf) -> Value {
        let response = self.baseline.candidates.get(&best.best);
        json!({
            "n": best.n,
            "reward": best.reward,
            "text": response.map(|response| &response.text),
            "tokens": best.tokens,
        })
    }

    /// Both, in words.
    pub fn said(&self) -> String {
        let Comparison {
            generations,
            tokens,
        } = self.figures;
        let end = match self.reached() {
            true => String::new(),
            false => format!(", all that were drawn of the run's {}", self.tokens),
        };
        format!(
            "best of {} first responses, at equal generations: {:.4}, {} tokens; best of {}, at equal tokens: {:.4}, {} \
             tokens{end}",
            generations.n,
            generations.reward,
            generations.tokens,
            tokens.n,
            tokens.reward,
            tokens.tokens
        )
    }
}

/// What a run's reward says beside those of first responses alone, and no more.
pub fn verdict(reward: f64, other: &Comparison) -> &'static str {
    match (
        reward > other.generations.reward,
        reward > other.tokens.reward,
    ) {
        (true, true) => {
            "By this reward the rounds beat best-of-N at equal generations and at equal tokens."
        }
        (true, false) => {
            "By this reward the rounds beat best-of-N at equal generations, but not at equal tokens: for the same tokens, \
             first responses alone did as well or better."
        }
        (false, true) => {
            "By this reward the rounds beat best-of-N at equal tokens, but not at equal generations: as many first \
             responses did as well or better."
        }
        (false, false) => {
            "The rounds did not beat best-of-N: first responses alone did as well or better by this reward."
        }
    }
}

/// So many of something.
pub fn amount(count: usize, what: &str) -> String {
    match count {
        0 => format!("no {what}"),
        1 => format!("1 {what}"),
        count => match what.strip_suffix("critique or feedback") {
            Some(_) => format!("{count} critiques or feedbacks"),
            None => format!("{count} {what}s"),
        },
    }
}

/// Means over the questions that have a comparison, of one of its two kinds.
fn held(items: &[(f64, Compared<'_>)], kind: impl Fn(&Comparison) -> BestOf) -> Value {
    let pairs = || {
        let pair = |(own, compared): &(f64, Compared<'_>)| (*own, kind(&compared.figures));
        items.iter().map(pair)
    };
    json!({
        "n": mean(pairs().map(|(_, other)| other.n as f64)),
        "questions": items.len(),
        "reward": mean(pairs().map(|(_, other)| other.reward)),
        "run": mean(pairs().map(|(own, _)| own)),
        "better": pairs().filter(|(own, other)| *own > other.reward).count(),
        "equal": pairs().filter(|(own, other)| *own == other.reward).count(),
        "worse": pairs().filter(|(own, other)| *own < other.reward).count(),
        "tokens": pairs().map(|(_, other)| other.tokens).sum::<usize>(),
    })
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0);
    for value in values {
        sum += value;
        count += 1;
    }
    (count > 0).then(|| sum / f64::from(count))
}

/// A record's figures: means over its questions.
pub fn summary(report: &Report) -> Value {
    let Report {
        name,
        header,
        items,
    } = report;
    let runs = || items.iter().map(|item| item.run.outcome());
    let depth = runs().map(|run| run.rounds.len()).max().unwrap_or(0);
    let by_round: Vec<Value> = (0..depth)
        .map(|at| {
            let there = || runs().filter_map(|run| run.rounds.get(at));
            json!({
                "round": at,
                "questions": there().count(),
                "mean": mean(there().filter_map(|round| mean(round.rewards.iter().map(|(_, r)| *r)))),
                "best_so_far": mean(there().map(|round| round.best_reward)),
            })
        })
        .collect();
    let both: Vec<(f64, Compared<'_>)> = items
        .iter()
        .filter_map(|item| Some((item.run.outcome().reward()?, item.compared(header)?)))
        .collect();
    let at_generations = (!both.is_empty()).then(|| {
        let mut held = held(&both, |compared| compared.generations);
        held["n"] = json!(header.options.generations());
        held
    });
    let at_tokens = (!both.is_empty()).then(|| {
        let mut held = held(&both, |compared| compared.tokens);
        let reached = both.iter().filter(|(_, compared)| compared.reached());
        held["reached"] = json!(reached.count());
        held
    });
    let responses = runs().flat_map(|run| run.candidates.values());
    let parsed = responses.filter(|response| response.round > 0).count();
    let empty = items.iter().flat_map(|item| &item.run.lines).filter(|line| matches!(line, RecordLine::Dropped { round, tokens, .. } if *round > 0 && *tokens > 0));
    let of = parsed + empty.count();
    let lines = items.iter().flat_map(|item| &item.run.lines);
    let texts = lines.filter(|line| matches!(line, RecordLine::Text { .. }));
    json!({
        "file": name,
        "mode": header.options.mode,
        "reward": header.reward,
        "reward_model": header.reward_model,
        "preference": header.preference,
        "method": header.method,
        "model": header.model,
        "device": header.device,
        "prompts": header.prompts.0,
        "samples": header.options.samples,
        "rounds": header.options.rounds,
        "questions": items.len(),
        "by_round": by_round,
        "updates": { "parsed": parsed, "of": of },
        "generations": runs().map(|run| run.generations).sum::<usize>(),
        "tokens": runs().map(|run| run.tokens).sum::<usize>(),
        "cut": {
            "responses": runs().map(Outcome::responses_cut).sum::<usize>(),
            "of_responses": runs().map(|run| run.candidates.len()).sum::<usize>(),
            "texts": runs().map(|run| run.texts_cut).sum::<usize>(),
            "of_texts": texts.count(),
        },
        "best_of_n": at_generations,
        "best_of_n_at_tokens": at_tokens,
    })
}
