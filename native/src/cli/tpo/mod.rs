//! `periapt tpo`: refines answers, shows it as it happens, and keeps a record.

mod figures;
mod format;
mod live;
mod page;
mod record;
mod report;

use super::args::{RefineArgs, TpoArgs, TpoCommand};
use super::eval::dataset;
use super::load::load_classifier;
use super::{Usage, input, load, notes, print_json, source, streams};
use crate::say;
use crate::terminal::{self, line, shown};
use format::Part;
use live::Live;
use periapt_core::Session;
use periapt_core::contract::{ModelHash, RecordHeader};
use periapt_core::decoding::{AmuletParams, Method, Strength};
use periapt_core::reward::{
    AnyReward, Ask, Choice, ClassifierReward, Human, Judge, PreferenceReward, RewardName, Sum,
};
use periapt_core::session::Classifier;
use periapt_core::tpo::{Local, Options, Outcome, Progress, PromptName, Prompts, Query, refine};
use record::Record;
use serde_json::{Value, json};
use std::io::{BufRead, IsTerminal, Write};
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

fn refine_all(args: &RefineArgs) -> anyhow::Result<()> {
    let options = Options::new(args.mode, args.size, args.draws);
    options.validate()?;
    let compares = options.depth() > 0 && !args.no_baseline;
    if compares && let Err(error) = options.baseline().validate() {
        // Said now, not after all the rounds.
        return Err(Usage(format!(
            "the comparison draws as many first responses as the run makes generations, and {error}: lower --samples or \
             --rounds, or leave it out with --no-baseline"
        ))
        .into());
    }
    let method = method(args)?;
    let preference = args.prefer.as_deref();
    let preference = preference
        .map(|text| streams::preference(text, "tpo"))
        .transpose()?;
    let system = args.system.as_deref().map(input::typed);
    let rewards = reward_names(args)?;
    let questions = questions(args)?;
    let chosen = prompts(args.prompts.as_deref())?;
    let mut record = match &args.record {
        Some(path) => Some(Record::open(path, args.dataset.as_deref())?),
        None => None,
    };
    let loaded = load(&args.model)?;
    let session = &loaded.session;
    notes::of_session(session);
    let prompts =
        chosen.unwrap_or_else(|| Prompts::for_size(session.decoder().parameters() as u64));
    // Reading a large model's file again takes a while: only for who sees it.
    let sha256_of_model = match args.json || args.record.is_some() {
        true => Some(source::sha256(&loaded.path)?),
        false => None,
    };
    let scorer = match &args.reward_model {
        Some(model) => Some(load_classifier(model, &args.model, &loaded)?),
        None => None,
    };
    let asked = args.reward.clone();
    let asked = asked.unwrap_or_else(|| rewards[0].0.to_string());
    let query = Query {
        system: system.clone(),
        preference: preference.clone(),
        ..Query::default()
    };
    let mut header = session.record_header(&query, &options, &prompts, method.name(), asked);
    header.model.sha256 = sha256_of_model;
    if let Some((classifier, path)) = &scorer {
        header.reward_model = Some(ModelHash {
            name: classifier.model_name().map(str::to_owned),
            sha256: Some(source::sha256(path)?),
        });
    }
    if let Some(record) = &mut record {
        record.begin(&header)?;
    }
    let mut reward = Sum(rewards
        .iter()
        .map(|(name, weight)| {
            let classifier = scorer.as_ref().map(|(classifier, _)| classifier);
            let reward = reward(*name, session, classifier, args, preference.as_deref());
            (reward, *weight)
        })
        .collect());
    let mut results = Vec::new();
    for (item, question) in questions.iter().enumerate() {
        let query = Query {
            question: question.clone(),
            system: system.clone(),
            preference: preference.clone(),
            ..Query::default()
        };
        let mut one = |options: &Options, part: Part| -> anyhow::Result<Outcome> {
            let generator = Local {
                session,
                method: method.clone(),
                preference: preference.clone(),
                batch: args.batch.unwrap_or(usize::MAX),
            };
            let recorded = record.as_ref().map(|record| record.lines(item, part));
            let recorded = recorded.unwrap_or_default();
            let mut live = Live::new(options, part, (item, questions.len()), &recorded);
            let mut written = Ok(());
            let mut listen = async |progress: Progress<'_>| {
                live.take(&progress);
                if let (Progress::Line(line), Some(record)) = (&progress, &mut record) {
                    written = record.write(item, part, line);
                }
                match written {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(_) => ControlFlow::Break(()),
                }
            };
            let run = refine(
                &query,
                options,
                &prompts,
                &generator,
                &mut reward,
                recorded,
                &mut listen,
            );
            let outcome = pollster::block_on(run)?;
            live.finish();
            written?;
            Ok(outcome)
        };
        let outcome = one(&options, Part::Run)?;
        let baseline = match compares {
            true => Some(one(&options.baseline(), Part::Baseline)?),
            false => None,
        };
        results.push(describe(&outcome, baseline.as_ref(), &header, &options));
        if !args.json {
            say(&outcome, baseline.as_ref(), args.dataset.is_some())?;
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

fn method(args: &RefineArgs) -> Result<Method, Usage> {
    let method = args.method;
    let method = method.of_preference(AmuletParams::default(), Strength::default());
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
    match wanted {
        "full" => return Ok(Some(Prompts::full())),
        "compact" => return Ok(Some(Prompts::compact())),
        _ => {}
    }
    let folder = Path::new(wanted);
    let mut prompts = Prompts::full();
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

/// The rewards by name, with their weights.
fn reward_names(args: &RefineArgs) -> Result<Vec<(RewardName, f64)>, Usage> {
    let default = RewardName::default_for(args.prefer.as_deref());
    let spec = args.reward.as_deref().unwrap_or(default.as_str());
    let one = |part: &str| {
        let wrong = |why: &str| Usage(format!("--reward {spec}: {why}"));
        let (name, weight) = part.split_once(':').unwrap_or((part, "1"));
        let weight: f64 = weight
            .parse()
            .ok()
            .filter(|weight: &f64| weight.is_finite() && *weight > 0.0)
            .ok_or_else(|| wrong("a weight must be a number above 0"))?;
        let name = name.parse().map_err(|()| {
            wrong("it must be preference, judge, classifier or human, or several joined by +")
        })?;
        match name {
            RewardName::Classifier if args.reward_model.is_none() => {
                Err(wrong("this reward needs a reward model (--reward-model)"))
            }
            RewardName::Preference if args.prefer.is_none() => {
                Err(wrong("this reward needs a preference (--prefer)"))
            }
            RewardName::Human if !std::io::stdin().is_terminal() => Err(wrong(
                "this reward asks you, and standard input is no terminal",
            )),
            name => Ok((name, weight)),
        }
    };
    let rewards = spec.split('+').map(one).collect::<Result<Vec<_>, _>>()?;
    let is_classifier = |(name, _): &(RewardName, f64)| *name == RewardName::Classifier;
    if args.reward_model.is_some() && !rewards.iter().any(is_classifier) {
        return Err(Usage(
            "--reward-model is of --reward classifier alone, which was not asked for".to_owned(),
        ));
    }
    Ok(rewards)
}

fn reward<'a>(
    name: RewardName,
    session: &'a Session,
    classifier: Option<&'a Classifier>,
    args: &RefineArgs,
    preference: Option<&str>,
) -> AnyReward<'a> {
    let preference = preference.map(str::to_owned);
    match (name, classifier) {
        (RewardName::Classifier, Some(classifier)) => {
            AnyReward::Classifier(ClassifierReward::new(classifier))
        }
        (RewardName::Preference, _) => AnyReward::Preference(PreferenceReward::new(
            session,
            args.system.as_deref().map(input::typed),
            preference.unwrap_or_default(),
        )),
        (RewardName::Human, _) => AnyReward::Human(Human::new(ask())),
        _ => AnyReward::Judge(Judge::new(session, preference)),
    }
}

/// Asks in the terminal.
fn ask() -> Ask<'static> {
    Box::new(|query, a, b| {
        let choice = choose(query, a, b);
        Box::pin(async move { choice })
    })
}

fn choose(query: &str, a: &str, b: &str) -> Result<Choice, String> {
    let mut input = std::io::stdin().lock();
    say!(
        "\n--- {}\n\n--- 1\n{}\n\n--- 2\n{}\n",
        line(&query),
        shown(a),
        shown(b)
    );
    loop {
        terminal::prompt("Which is better? 1, 2, or = for neither: ");
        let mut line = String::new();
        match input.read_line(&mut line) {
            Ok(0) => return Err("standard input ended".to_owned()),
            Ok(_) => {}
            Err(error) => return Err(error.to_string()),
        }
        match line.trim() {
            "1" => return Ok(Choice::First),
            "2" => return Ok(Choice::Second),
            "=" => return Ok(Choice::Same),
            _ => {}
        }
    }
}

/// The best reward, and whose it is.
fn best(outcome: &Outcome) -> Option<f64> {
    outcome.rewards.get(&outcome.best?).copied()
}

fn describe(
    outcome: &Outcome,
    baseline: Option<&Outcome>,
    header: &RecordHeader,
    options: &Options,
) -> Value {
    let candidates: Vec<Value> = outcome
        .candidates
        .iter()
        .map(|(number, candidate)| {
            let mut object = json!(candidate);
            object["reward"] = json!(outcome.rewards.get(number));
            object
        })
        .collect();
    json!({
        "text": outcome.answer().map(|answer| &answer.text),
        "reward": best(outcome),
        "reward_name": header.reward,
        "reward_model": header.reward_model,
        "mode": options.mode,
        "candidates": candidates,
        "generations": outcome.generations,
        "tokens": outcome.tokens,
        "best_of_n": baseline.map(|baseline| json!({
            "n": baseline.generations,
            "reward": best(baseline),
            "text": baseline.answer().map(|answer| &answer.text),
            "tokens": baseline.tokens,
        })),
        "device": header.device,
        "model": header.model,
    })
}

/// The answer on stdout; what it took, and whether that was worth it, on stderr.
fn say(outcome: &Outcome, baseline: Option<&Outcome>, one_of_many: bool) -> anyhow::Result<()> {
    let mut out = terminal::answer();
    if let Some(answer) = outcome.answer() {
        writeln!(out, "{}", answer.text)?;
        if one_of_many {
            writeln!(out)?;
        }
    }
    let reward = best(outcome).unwrap_or(f64::NAN);
    say!(
        "reward {reward:.4} after {} generations, {} tokens",
        outcome.generations,
        outcome.tokens
    );
    if let Some(baseline) = baseline {
        let other = best(baseline).unwrap_or(f64::NAN);
        let verdict = match reward.total_cmp(&other) {
            std::cmp::Ordering::Greater => "the rounds were worth it",
            std::cmp::Ordering::Equal => "the rounds won nothing over it",
            std::cmp::Ordering::Less => "it did better: the rounds did not help here",
        };
        say!(
            "best of {} first responses: {other:.4}, {} tokens; {verdict}",
            baseline.generations,
            baseline.tokens
        );
    }
    Ok(())
}
