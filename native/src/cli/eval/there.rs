//! The same with the model behind a server (`--engine`): each answer is asked for alone, several at once, and so depends on no
//! other one.

use super::record::{Record, Row, key};
use super::{Arm, EvalArgs, How, Plan, Progress, Question, Usage, conversation, mean, request};
use crate::cli::engine::{Answered, Engine};
use periapt_core::session::FinishReason;
use serde_json::{Value, json};
use std::ops::ControlFlow;

/// Answers what is not answered yet.
pub fn run(
    args: &EvalArgs,
    plan: &Plan,
    engine: &Engine,
    record: &mut Record,
) -> anyhow::Result<()> {
    let beams = plan.arms.iter().any(|arm| matches!(arm.how, How::Beam));
    let refused = [
        ("--paper-compat", args.decoding.paper_compat),
        ("--method beam", beams),
    ];
    if let Some((name, _)) = refused.into_iter().find(|(_, given)| *given) {
        let what = format!("{name} needs the model on this machine, and goes without --engine");
        return Err(Usage(what).into());
    }
    if !args.answers_only {
        let rates = engine.can_rate();
        rates.map_err(|why| anyhow::anyhow!("{why}; --answers-only goes without scores"))?;
    }
    record.settings(&settings(args, engine))?;
    let mut progress = Progress::new(plan, record);
    for dataset in &plan.datasets {
        for preference in &plan.preferences {
            for arm in &plan.arms {
                let key_of = |question: &Question| {
                    key(&dataset.name, &arm.name, preference, &question.index)
                };
                let numbered = (0u32..).zip(&dataset.questions);
                let missing: Vec<(u32, &Question)> = numbered
                    .filter(|(_, question)| !record.has(&key_of(question)))
                    .collect();
                let asked = Asked {
                    args,
                    engine,
                    dataset: &dataset.name,
                    preference,
                    arm,
                };
                let mut written = Ok(());
                let row = |(number, question): &(u32, &Question)| asked.row(*number, question);
                engine.each(&missing, row, |_, row| {
                    written = record.push(row);
                    progress.step();
                    match written {
                        Ok(()) => ControlFlow::Continue(()),
                        Err(_) => ControlFlow::Break(()),
                    }
                })?;
                written?;
            }
        }
    }
    progress.finish();
    Ok(())
}

/// All that decides an answer, besides what its row says.
fn settings(args: &EvalArgs, engine: &Engine) -> Value {
    let decoding = &args.decoding;
    let mut settings = json!({
        "periapt": env!("CARGO_PKG_VERSION"),
        "engine": engine.name(),
        "model": engine.model,
        "support": args.support.support,
        "system": args.prompts.system(false, true),
        "prompt_set": args.prompts.set(false),
        "amulet": decoding.amulet,
        "strength": decoding.strength.strength,
        "sampling": decoding.sampling,
        "max_new_tokens": decoding.length.max_new_tokens,
    });
    if args.answers_only {
        settings["answers_only"] = json!(true);
    }
    settings
}

/// How a dataset's questions are asked with one method and preference.
struct Asked<'a> {
    args: &'a EvalArgs,
    engine: &'a Engine,
    dataset: &'a str,
    preference: &'a str,
    arm: &'a Arm,
}

impl Asked<'_> {
    /// The answer to a question, whose draws depend on the seed and its number.
    fn row(&self, number: u32, question: &Question) -> anyhow::Result<Row> {
        let (engine, support) = (self.engine, self.args.support.support);
        let conversation = conversation(self.args, self.preference, question);
        let request = request(self.args, self.arm, vec![conversation.clone()], number);
        let answered = engine.answer(&request, support, |_| ControlFlow::Continue(()))?;
        let token_ids = self.ids(&answered)?;
        let spoken = match (answered.finish_reason, token_ids.split_last()) {
            (FinishReason::Stop, Some((last, spoken))) if engine.ends(*last) => spoken,
            _ => &token_ids[..],
        };
        let score = match spoken {
            [] => None,
            _ if self.args.answers_only => None,
            spoken => Some(engine.score(&conversation, spoken)?),
        };
        let leaning = answered.leaning;
        let kl = || {
            leaning
                .iter()
                .flat_map(|own| &own.kl)
                .copied()
                .map(f64::from)
        };
        let strengths = leaning.iter().flat_map(|own| &own.strengths).copied();
        Ok(Row {
            dataset: self.dataset.to_owned(),
            index: question.index.clone(),
            question: question.text.clone(),
            preference: self.preference.to_owned(),
            method: self.arm.name.clone(),
            response: answered.text,
            finish_reason: answered.finish_reason,
            mean_k: mean(strengths).unwrap_or(0.0),
            mean_kl: mean(kl()),
            max_kl: kl().reduce(f64::max),
            truncation: leaning.as_ref().map(|own| own.truncated().object(support)),
            score,
            token_ids,
        })
    }

    /// An answer's tokens, its end included: as they were drawn here, or else as the server makes them of its text; none where it
    /// makes none.
    fn ids(&self, answered: &Answered) -> anyhow::Result<Vec<u32>> {
        let engine = self.engine;
        if let Some(leaning) = &answered.leaning {
            return Ok(leaning.ids());
        }
        if !engine.takes_ids() {
            return Ok(Vec::new());
        }
        let mut ids = engine.encode(&answered.text)?;
        if answered.finish_reason == FinishReason::Stop {
            ids.extend(engine.end_of_turn()?);
        }
        Ok(ids)
    }
}
