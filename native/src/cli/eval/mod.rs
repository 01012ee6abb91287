//! `periapt eval`: methods x preferences x questions.

pub mod dataset;
mod plot;
mod record;
mod report;
mod there;

use super::args::EvalArgs;
use super::engine::Engine;
use super::{Loaded, Usage, ask, input, load, notes, reading, source, streams};
use crate::output;
use crate::say;
use crate::terminal;
use anyhow::Context;
use dataset::{Dataset, Question};
use indicatif::{ProgressBar, ProgressStyle};
use periapt_core::Session;
use periapt_core::contract::sha256;
use periapt_core::decoding::{Conversation, Method, MethodName};
use periapt_core::session::{BeamRequest, Event, FinishReason, GenerateRequest, Generation, Score};
use record::{Record, Row, key};
use serde_json::{Value, json};
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

/// Budgets that `--matched` adds, in nats.
const BUDGETS: [f64; 4] = [0.1, 0.3, 1.0, 3.0];

/// A method as it is evaluated.
#[derive(Debug)]
struct Arm {
    /// What it is called in rows and reports.
    name: String,
    how: How,
}

#[derive(Debug)]
enum How {
    Streams(Method, Option<f64>),
    Beam,
}

pub fn run(args: &EvalArgs) -> anyhow::Result<()> {
    ask::check(&args.decoding)?;
    if args.batch == 0 {
        return Err(Usage("--batch must be at least 1".to_owned()).into());
    }
    if args.decoding.length.max_new_tokens == 0 {
        return Err(Usage(ask::NO_TOKENS.to_owned()).into());
    }
    let preferences = streams::preferences(&args.prefer)?;
    let preferences = preferences.into_iter();
    let preferences = preferences
        .map(|preference| streams::unweighted(preference, "eval"))
        .collect::<Result<Vec<_>, _>>()?;
    let arms = arms(args)?;
    let mut record = Record::open(&args.output)?;
    let datasets = args
        .dataset
        .iter()
        .map(|spec| Dataset::open(spec, args.limit, &args.output))
        .collect::<Result<Vec<_>, _>>()?;
    if let Some(again) =
        (1..datasets.len()).find(|at| datasets[..*at].iter().any(|d| d.name == datasets[*at].name))
    {
        let name = &datasets[again].name;
        return Err(Usage(format!("two datasets are called {name}: rename one")).into());
    }
    for arm in &arms {
        request(args, arm, Vec::new(), 0).validate()?;
    }
    args.decoding.beam.check_ranges()?;
    for name in files(&datasets, &arms) {
        output::apart(&args.output.join(name), &args.dataset)?;
    }
    let plan = Plan {
        datasets,
        preferences,
        arms,
    };
    let (model, context) = (args.model.model.as_deref(), args.model.load.max_context);
    match Engine::of(&args.engine, model, context, Some(args.batch))? {
        Some(engine) => there::run(args, &plan, &engine, &mut record)?,
        None => here(args, &plan, &mut record)?,
    }
    match args.answers_only {
        true => Ok(()),
        false => report::write(args, &record.rows),
    }
}

/// What is evaluated: each with each.
struct Plan {
    datasets: Vec<Dataset>,
    preferences: Vec<String>,
    arms: Vec<Arm>,
}

/// Answers what is not answered yet with the model on this machine.
fn here(args: &EvalArgs, plan: &Plan, record: &mut Record) -> anyhow::Result<()> {
    let loaded = load(&args.model.to_measure())?;
    notes::of_session(&loaded.session);
    record.settings(&settings(args, &loaded)?)?;

    let mut progress = Progress::new(plan, record);
    for dataset in &plan.datasets {
        for preference in &plan.preferences {
            for arm in &plan.arms {
                for (number, batch) in dataset.questions.chunks(args.batch).enumerate() {
                    let first = (number * args.batch) as u32;
                    let job = Batch {
                        dataset: &dataset.name,
                        preference,
                        arm,
                        batch,
                        first,
                    };
                    job.run(args, &loaded.session, record, &mut progress)?;
                }
            }
        }
    }
    progress.finish();
    Ok(())
}

/// The files that a run writes into its folder.
fn files(datasets: &[Dataset], arms: &[Arm]) -> Vec<String> {
    let own = ["run.json", record::ANSWERS, "summary.json", "frontier.svg"];
    let responses = datasets.iter().flat_map(|dataset| {
        arms.iter()
            .map(|arm| report::responses(&dataset.name, &arm.name))
    });
    own.map(str::to_owned)
        .into_iter()
        .chain(responses)
        .collect()
}

fn arms(args: &EvalArgs) -> Result<Vec<Arm>, Usage> {
    let mut arms: Vec<Arm> = Vec::new();
    let mut add = |name: String, how: How| {
        if arms.iter().all(|arm| arm.name != name) {
            arms.push(Arm { name, how });
        }
    };
    let own = args.decoding.sampling.kl_budget;
    if own.is_some() {
        let what = "eval takes KL budgets with --budget, and evaluates amulet at each";
        return Err(Usage(what.to_owned()));
    }
    for method in &args.method {
        match args.decoding.method(*method) {
            Some(method) => add(method.name().to_string(), How::Streams(method, None)),
            None if *method == MethodName::Beam => add("beam".to_owned(), How::Beam),
            None => {
                let what = "eval's preferences make base, pref, la, amulet and beam; guidance's streams are \
                            `periapt generate`'s";
                return Err(Usage(what.to_owned()));
            }
        }
    }
    let amulet = Method::Amulet(args.decoding.amulet);
    let mut budgets = args.budget.clone();
    if args.matched {
        add("amulet".to_owned(), How::Streams(amulet.clone(), None));
        let strength = amulet.strength();
        let matched = Method::LinearAlignment { strength };
        add(matched_name(strength), How::Streams(matched, None));
        if budgets.is_empty() {
            budgets = BUDGETS.to_vec();
        }
    }
    for budget in budgets {
        let name = format!("amulet@kl={budget}");
        add(name, How::Streams(amulet.clone(), Some(budget)));
    }
    Ok(arms)
}

/// Linear Alignment at amulet's strength.
fn matched_name(strength: f64) -> String {
    format!("la@k={strength:.4}")
}

/// All that decides an answer, besides what its row says.
fn settings(args: &EvalArgs, loaded: &Loaded) -> anyhow::Result<Value> {
    let session = &loaded.session;
    let decoding = &args.decoding;
    let mut settings = json!({
        "periapt": env!("CARGO_PKG_VERSION"),
        "model": session.model_name(),
        "model_sha256": source::sha256(&loaded.path)?,
        "template_sha256": session.template().map(sha256),
        "device": session.device().info,
        "kv": session.kv.to_string(),
        "system": args.prompts.system(decoding.paper_compat, true),
        "prompt_set": args.prompts.set(decoding.paper_compat),
        "amulet": decoding.amulet,
        "strength": decoding.strength.strength,
        "beam": decoding.beam,
        "sampling": decoding.sampling,
        "max_new_tokens": decoding.length.max_new_tokens,
        "paper_compat": decoding.paper_compat,
        "batch": args.batch,
    });
    if args.answers_only {
        settings["answers_only"] = json!(true);
    }
    if let Some(day) = session.today() {
        settings["date"] = json!(day.to_string());
    }
    notes::record(&mut settings, session.system_prompt());
    Ok(settings)
}

fn conversation(args: &EvalArgs, preference: &str, question: &Question) -> Conversation {
    let compat = args.decoding.paper_compat;
    Conversation {
        system: args.prompts.system(compat, true),
        preference: Some(args.prompts.set(compat).instruction(preference)),
        question: question.text.clone(),
        ..Conversation::default()
    }
}

fn request(
    args: &EvalArgs,
    arm: &Arm,
    conversations: Vec<Conversation>,
    first: u32,
) -> GenerateRequest {
    let mut sampling = args.decoding.sampling;
    let method = match &arm.how {
        // Without a budget, the KL is computed and no more.
        How::Streams(method, budget) => {
            let contrasts = !matches!(method, Method::Base | Method::Pref);
            sampling.kl_budget = contrasts.then(|| budget.unwrap_or(f64::INFINITY));
            method.clone()
        }
        How::Beam => Method::Pref,
    };
    GenerateRequest {
        conversations,
        first,
        method,
        sampling,
        max_new_tokens: args.decoding.length.max_new_tokens,
        generation_prompt: !args.decoding.paper_compat,
        ..GenerateRequest::default()
    }
}

/// One batch of questions with one method and preference.
struct Batch<'a> {
    dataset: &'a str,
    preference: &'a str,
    arm: &'a Arm,
    batch: &'a [Question],
    /// The first question's place.
    first: u32,
}

impl Batch<'_> {
    /// Runs the whole batch, so that what its answers are does not depend on which of them are missing, and records
    /// those that are.
    fn run(
        &self,
        args: &EvalArgs,
        session: &Session,
        record: &mut Record,
        progress: &mut Progress,
    ) -> anyhow::Result<()> {
        let key_of = |question: &Question| {
            key(
                self.dataset,
                &self.arm.name,
                self.preference,
                &question.index,
            )
        };
        let missing: Vec<bool> = self.batch.iter().map(|q| !record.has(&key_of(q))).collect();
        if !missing.contains(&true) {
            return Ok(());
        }
        let of = |question| conversation(args, self.preference, question);
        let conversations: Vec<Conversation> = self.batch.iter().map(of).collect();
        let mut finish = async |place: usize, generation: &Generation| {
            if missing[place] {
                let score = match spoken(generation) {
                    [] => None,
                    _ if args.answers_only => None,
                    // As it ends, not with the others: what is recorded is not lost.
                    spoken => {
                        let answer = (&conversations[place], spoken);
                        session.score_all(&[answer]).await?.pop()
                    }
                };
                record.push(self.row(&self.batch[place], generation, score))?;
                progress.step();
            }
            anyhow::Ok(())
        };
        let request = request(args, self.arm, conversations.clone(), self.first);
        if let How::Streams(..) = self.arm.how {
            let mut failed = None;
            let on_event = &mut async |event: Event<'_>| {
                if let Event::Done { answer, generation } = event
                    && let Err(error) = finish(answer, generation).await
                {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            };
            pollster::block_on(session.generate(&request, on_event))?;
            return failed.map_or(Ok(()), Err);
        }
        for (place, conversation) in conversations.iter().enumerate() {
            if !missing[place] {
                continue;
            }
            let request = BeamRequest {
                conversation: conversation.clone(),
                params: args.decoding.beam,
                max_new_tokens: request.max_new_tokens,
                generation_prompt: request.generation_prompt,
            };
            let on_step = &mut async |_: usize| ControlFlow::Continue(());
            let found = pollster::block_on(session.beam(&request, on_step))?;
            if let Some(best) = found.first() {
                pollster::block_on(finish(place, &best.generation))?;
            }
        }
        Ok(())
    }

    fn row(&self, question: &Question, generation: &Generation, score: Option<Score>) -> Row {
        let kl = || generation.kl.iter().copied().map(f64::from);
        Row {
            dataset: self.dataset.to_owned(),
            index: question.index.clone(),
            question: question.text.clone(),
            preference: self.preference.to_owned(),
            method: self.arm.name.clone(),
            response: generation.text.clone(),
            token_ids: generation.token_ids.clone(),
            finish_reason: generation.finish_reason,
            mean_k: mean(generation.strengths.iter().copied()).unwrap_or(0.0),
            mean_kl: mean(kl()),
            max_kl: kl().reduce(f64::max),
            score,
            truncation: None,
        }
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.fold((0, 0.0), |(count, sum), v| (count + 1, sum + v));
    (count > 0).then(|| sum / f64::from(count))
}

/// An answer's tokens without the one that ended it.
fn spoken(generation: &Generation) -> &[u32] {
    match (generation.finish_reason, generation.token_ids.split_last()) {
        (FinishReason::Stop, Some((_, spoken))) => spoken,
        _ => &generation.token_ids,
    }
}

/// How far the run is: a bar, or lines where there is no terminal to draw on.
struct Progress {
    bar: ProgressBar,
    lines: bool,
    started: Instant,
    last: Instant,
    done: u64,
    total: u64,
}

impl Progress {
    fn new(plan: &Plan, record: &Record) -> Self {
        let mut total = 0;
        for dataset in &plan.datasets {
            for preference in &plan.preferences {
                for arm in &plan.arms {
                    let missing = dataset.questions.iter().filter(|question| {
                        let key = key(&dataset.name, &arm.name, preference, &question.index);
                        !record.has(&key)
                    });
                    total += missing.count() as u64;
                }
            }
        }
        let template = "answers {bar:32} {pos} of {len} ({eta} left)";
        let style = ProgressStyle::with_template(template);
        if !record.rows.is_empty() {
            say!(
                "{} answers are there already, {total} to go",
                record.rows.len()
            );
        }
        Self {
            bar: reading::BARS.add(
                ProgressBar::new(total)
                    .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())),
            ),
            lines: !terminal::is_watched(),
            started: Instant::now(),
            last: Instant::now(),
            done: 0,
            total,
        }
    }

    fn step(&mut self) {
        const SECONDS_A_LINE: u64 = 10;
        self.done += 1;
        self.bar.inc(1);
        if self.lines && self.last.elapsed().as_secs() >= SECONDS_A_LINE {
            self.last = Instant::now();
            let left = self.started.elapsed().as_secs_f64() / self.done as f64
                * (self.total - self.done) as f64;
            say!("{} of {} answers, {left:.0} s left", self.done, self.total);
        }
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// Writes a file that is there whole or not at all.
fn write_whole(path: &Path, text: &str) -> anyhow::Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(cannot)?;
    }
    Ok(output::write_whole(path, text.as_bytes())?)
}
