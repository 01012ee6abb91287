//! `periapt tpo`: refines answers, shows it as it happens, and keeps a record.

mod figures;
mod format;
mod human;
mod live;
mod page;
mod record;
mod report;
mod result;
mod rewards;

use super::args::{RefineArgs, TpoArgs, TpoCommand};
use super::engine::{Engine, RewardServer, Writer};
use super::eval::dataset;
use super::{Usage, input, load, notes, persona, print_json, source, streams};
use format::RunPart;
use live::Live;
use periapt_core::Session;
use periapt_core::contract::{ModelHash, RecordHeader};
use periapt_core::decoding::{AmuletParams, Method, Strength};
use periapt_core::reward::{AnyReward, Rater, RewardName, Sum};
use periapt_core::tpo::{
    Generator, Local, Mode, Options, Outcome, PromptName, PromptSet, Prompts, Query, RefineDraws,
    RefineSize, RunEvent, refine,
};
use record::RecordFile;
use result::RunResult;
use rewards::Scorers;
use serde_json::json;
use std::ops::ControlFlow;
use std::path::Path;

pub fn run(args: &TpoArgs) -> anyhow::Result<()> {
    match &args.command {
        Some(TpoCommand::Report {
            files,
            output,
            json,
        }) => report::run(files, output.as_deref(), *json),
        None => refine_all(&args.run),
    }
}

/// What is asked for, as far as it can be checked before a model is loaded.
struct Asked {
    options: Options,
    /// Whether the run is held against first responses alone.
    compares: bool,
    method: Method,
    preference: Option<String>,
    /// The preference in other words, where the reward is `fit`.
    reworded: Vec<String>,
    system: Option<String>,
    /// By name, with their weights.
    rewards: Vec<(RewardName, f64)>,
    questions: Vec<String>,
    /// `None` leaves the set to the model's size.
    prompts: Option<Prompts>,
}

impl Asked {
    fn new(args: &RefineArgs) -> anyhow::Result<Self> {
        if let Some(file) = &args.persona {
            let model = args.model.model.as_deref();
            let leans = persona::leans(file, model, Strength::default())?;
            return Self::new(&RefineArgs {
                prefer: Some(persona::told(file, &leans)?),
                persona: None,
                ..args.clone()
            });
        }
        let options = Options::new(args.mode, args.size, args.draws);
        options.validate()?;
        let compares = options.depth() > 0 && !args.no_baseline;
        let method = method(args)?;
        let preference = args.prefer.as_deref();
        let set = args.asking.set(false);
        let preference = preference.map(|text| streams::preference(set, text, "tpo"));
        let preference = preference.transpose()?;
        let rewards = rewards::named(args)?;
        let by_fit = rewards.iter().any(|(name, _)| *name == RewardName::Fit);
        if !by_fit && !args.reworded.is_empty() {
            return Err(Usage(
                "--reworded is of --reward fit alone, which was not asked for".to_owned(),
            )
            .into());
        }
        let wish = preference.as_deref().filter(|_| by_fit);
        Ok(Self {
            options,
            compares,
            method,
            reworded: streams::reworded(&args.reworded, wish.unwrap_or_default())?,
            system: args.asking.system(false, preference.is_some()),
            preference,
            rewards,
            questions: questions(args)?,
            prompts: prompts(args.prompts.as_deref())?,
        })
    }

    /// A question, with what goes with each of them.
    fn query(&self, question: &str) -> Query {
        Query {
            question: question.to_owned(),
            system: self.system.clone(),
            preference: self.preference.clone(),
            reworded: self.reworded.clone(),
            ..Query::default()
        }
        .with_default_system()
    }

    /// What a run that spent so many tokens is held against. A person is asked about as many responses as the run made,
    /// and no more for its tokens.
    fn baseline(&self, tokens: usize) -> Options {
        let is_human = |(name, _): &(RewardName, f64)| *name == RewardName::Human;
        self.options
            .baseline(match self.rewards.iter().any(is_human) {
                true => 0,
                false => tokens,
            })
    }
}

fn refine_all(args: &RefineArgs) -> anyhow::Result<()> {
    let asked = Asked::new(args)?;
    let server = rewards::server(args)?;
    let record = match &args.record {
        Some(path) => Some(RecordFile::open(path, args.dataset.as_deref())?),
        None => None,
    };
    let (model, context) = (args.model.model.as_deref(), args.model.load.max_context);
    if let Some(engine) = Engine::of(&args.engine, model, context, args.batch)? {
        return refine_there(args, &asked, record, &engine, server);
    }
    let loaded = load(&args.model)?;
    let session = &loaded.session;
    notes::of_session(session);
    let scorers = Scorers::of(args, &asked, server, Some(&loaded))?;
    let by_size = || PromptSet::for_size(session.decoder().parameters() as u64).into();
    let prompts = asked.prompts.clone().unwrap_or_else(by_size);
    let (query, method) = (asked.query(""), asked.method.name());
    let named = reward_asked(args, &asked);
    let mut header = session.record_header(&query, &asked.options, &prompts, method, named);
    // Reading a large model's file again takes a while: only for who sees it.
    if args.json || args.record.is_some() {
        header.model.sha256 = Some(source::sha256(&loaded.path)?);
    }
    scorers.describe(&mut header)?;
    let generator = Local {
        session,
        method: asked.method.clone(),
        preference: asked.preference.clone(),
        batch: args.batch.unwrap_or(usize::MAX),
    };
    Refinement {
        generator,
        reward: scorers.rewards(session, &asked),
        asked: &asked,
        prompts,
        record,
    }
    .run_all(args, &header)
}

/// The same with the model behind a server; a reward model is this machine's.
fn refine_there(
    args: &RefineArgs,
    asked: &Asked,
    record: Option<RecordFile>,
    engine: &Engine,
    server: Option<RewardServer>,
) -> anyhow::Result<()> {
    if !matches!(asked.method, Method::Base | Method::Pref) {
        let what = "with --engine, responses are decoded by --method base or pref";
        return Err(Usage(what.to_owned()).into());
    }
    if asked
        .rewards
        .iter()
        .any(|(name, _)| name.wants_preference())
    {
        engine.can_rate()?;
    }
    let scorers = Scorers::of(args, asked, server, None)?;
    // What is run elsewhere is seldom small.
    let full = || PromptSet::Full.into();
    let prompts = asked.prompts.clone().unwrap_or_else(full);
    let (query, method) = (asked.query(""), asked.method.name());
    let named = reward_asked(args, asked);
    let mut header = RecordHeader {
        model: ModelHash {
            name: Some(engine.model.clone()),
            sha256: None,
        },
        engine: Some(engine.name()),
        ..RecordHeader::new(&query, &asked.options, &prompts, method, named)
    };
    scorers.describe(&mut header)?;
    let generator = Writer {
        engine,
        method: asked.method.clone(),
        preference: asked.preference.clone(),
    };
    Refinement {
        generator,
        reward: scorers.rewards(engine, asked),
        asked,
        prompts,
        record,
    }
    .run_all(args, &header)
}

/// The reward as it was asked for.
fn reward_asked(args: &RefineArgs, asked: &Asked) -> String {
    let default = || asked.rewards[0].0.to_string();
    args.reward.clone().unwrap_or_else(default)
}

/// All that a run needs.
struct Refinement<'a, G, M> {
    asked: &'a Asked,
    prompts: Prompts,
    generator: G,
    reward: Sum<'a, M>,
    record: Option<RecordFile>,
}

impl<G: Generator, M: Rater> Refinement<'_, G, M> {
    /// Refines the answer to every question, and says what came of it.
    fn run_all(mut self, args: &RefineArgs, header: &RecordHeader) -> anyhow::Result<()> {
        let asked = self.asked;
        if let Some(record) = &mut self.record {
            record.begin(header)?;
        }
        let mut results = Vec::new();
        for item in 0..asked.questions.len() {
            let outcome = self.run(item, RunPart::Run, asked.options.clone())?;
            let baseline = match asked.compares {
                true => {
                    let options = asked.baseline(outcome.tokens);
                    Some(self.run(item, RunPart::Baseline, options)?)
                }
                false => None,
            };
            let result = RunResult::new(&outcome, baseline.as_ref(), header);
            results.push(result.describe());
            if !args.json {
                result.say(args.dataset.is_some())?;
            }
        }
        if !args.json {
            return Ok(());
        }
        match args.dataset {
            Some(_) => print_json(&json!({ "results": results })),
            None => print_json(&results.first()),
        }
    }

    /// Refines the answer to a question, or draws what that is held against: shown as it happens, and recorded.
    fn run(&mut self, item: usize, part: RunPart, options: Options) -> anyhow::Result<Outcome> {
        let asked = self.asked;
        let query = asked.query(&asked.questions[item]);
        let recorded = self
            .record
            .as_ref()
            .and_then(|record| record.run(item, part));
        let done = recorded.map_or(0, |run| run.outcome().generations);
        // A comparison that an earlier version began goes on as it was.
        let options = recorded.map_or(options, |run| run.state.options().clone());
        let recorded = recorded.map(|run| run.lines.clone()).unwrap_or_default();
        let mut live = Live::new(&options, part, (item, asked.questions.len()), done);
        let mut written = Ok(());
        let record = &mut self.record;
        let mut listen = async |event: RunEvent<'_>| {
            live.take(&event);
            if let (RunEvent::Line { line, .. }, Some(record)) = (event, &mut *record) {
                written = record.write(item, part, line);
            }
            match written {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        };
        let run = refine(
            &query,
            &options,
            &self.prompts,
            &self.generator,
            &mut self.reward,
            recorded,
            &mut listen,
        );
        let outcome = pollster::block_on(run)?;
        live.finish();
        written?;
        Ok(outcome)
    }
}

/// Refines an answer as `periapt tpo` does where nothing else is said, without the comparison: shown as it happens, until
/// `stopped`. The best so far comes back.
pub fn refine_once(
    session: &Session,
    query: &Query,
    stopped: impl Fn() -> bool,
) -> anyhow::Result<Outcome> {
    let options = Options::new(Mode::Tpo, RefineSize::default(), RefineDraws::default());
    let preference = query.preference.clone();
    let method = Query::default_method(preference.as_deref());
    let method = method.of_preference(AmuletParams::default(), Strength::default());
    let generator = Local {
        session,
        method: method.unwrap_or(Method::Base),
        preference: preference.clone(),
        batch: usize::MAX,
    };
    let name = RewardName::default_for(preference.as_deref());
    let system = query.system.clone();
    let reward = AnyReward::of_model(name, session, system, preference, &query.reworded);
    let prompts = PromptSet::for_size(session.decoder().parameters() as u64).into();
    let mut live = Live::new(&options, RunPart::Run, (0, 1), 0);
    let mut listen = async |event: RunEvent<'_>| {
        live.take(&event);
        match stopped() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    };
    let mut reward = Sum(reward.into_iter().map(|reward| (reward, 1.0)).collect());
    let recorded = Vec::new();
    let run = refine(
        query,
        &options,
        &prompts,
        &generator,
        &mut reward,
        recorded,
        &mut listen,
    );
    let outcome = pollster::block_on(run);
    live.finish();
    Ok(outcome?)
}

fn method(args: &RefineArgs) -> Result<Method, Usage> {
    let name = args
        .method
        .unwrap_or(Query::default_method(args.prefer.as_deref()));
    let method = name.of_preference(AmuletParams::default(), Strength::default());
    let method = method.ok_or_else(|| {
        Usage("responses are decoded by --method base, pref, la or amulet".to_owned())
    })?;
    match method.wants_preference() && args.prefer.is_none() {
        true => Err(Usage(format!(
            "--method {} needs a preference (--prefer)",
            method.name()
        ))),
        false => Ok(method),
    }
}

fn questions(args: &RefineArgs) -> anyhow::Result<Vec<String>> {
    let Some(path) = &args.dataset else {
        let question = args.prompt.as_deref().unwrap_or_default();
        return Ok(vec![input::question(question)?]);
    };
    let text = input::whole_file("--dataset", path)?;
    let questions = dataset::parse(&text)
        .map_err(|why| Usage(format!("--dataset {}: {why}", path.display())))?;
    let most = args.limit.unwrap_or(usize::MAX);
    Ok(questions
        .into_iter()
        .take(most)
        .map(|question| question.text)
        .collect())
}

/// The set that was asked for; `None` leaves it to the model's size.
fn prompts(wanted: Option<&str>) -> anyhow::Result<Option<Prompts>> {
    let Some(wanted) = wanted else {
        return Ok(None);
    };
    if let Ok(set) = wanted.parse::<PromptSet>() {
        return Ok(Some(set.into()));
    }
    let folder = Path::new(wanted);
    let mut prompts = Prompts::from(PromptSet::Full);
    prompts.name = "own".to_owned();
    let mut found = 0;
    for name in PromptName::ALL {
        let path = folder.join(format!("{}.txt", name.name()));
        if path.exists() {
            let text = input::file("--prompts", &path)?;
            let replaced = prompts.replace(name, text);
            replaced.map_err(|error| Usage(format!("{}: {error}", path.display())))?;
            found += 1;
        }
    }
    match found {
        0 => Err(Usage(format!(
            "--prompts {wanted}: neither full nor compact nor a folder with compare.txt, evaluate.txt, feedback.txt or \
             improve.txt"
        ))
        .into()),
        _ => Ok(Some(prompts)),
    }
}
