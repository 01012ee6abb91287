//! `periapt score`: answers in files to one question, or lines of questions with answers.

use super::args::ScoreArgs;
use super::engine::{Engine, RewardServer};
use super::{Usage, input, lines, load, notes, print_json, streams};
use crate::terminal::{self, line};
use periapt_core::decoding::Conversation;
use periapt_core::decoding::preference::is_empty;
use periapt_core::decoding::streams::Stream;
use periapt_core::reward::{
    FitReward, FitScore, Rater, RemoteReward, Response, Reward, RewardName,
};
use periapt_core::session::Score;
use serde::Deserialize;
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;

/// Answers that are scored together: all to one question with one preference.
struct Group {
    conversation: Conversation,
    reworded: Vec<String>,
    answers: Vec<Answer>,
}

#[derive(Debug)]
struct Answer {
    /// The file it is from, or what its line calls it.
    name: Value,
    text: String,
    ended: bool,
    /// Whether it is one of those that the others are held against.
    first: bool,
}

/// A line of `--lines`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerLine {
    #[serde(default)]
    id: Value,
    question: String,
    preference: String,
    #[serde(default)]
    reworded: Vec<String>,
    response: String,
    #[serde(default = "yes")]
    ended: bool,
    #[serde(default = "yes")]
    first: bool,
}

fn yes() -> bool {
    true
}

/// What an answer comes to.
struct Scored<'a> {
    answer: &'a Answer,
    score: Score,
    /// The reward `fit`, and what it is made of by tokens where that was asked for.
    fit: Option<(FitScore, Option<Value>)>,
    /// What a reward model behind a server says.
    remote: Option<f64>,
}

pub fn run(args: &ScoreArgs) -> anyhow::Result<()> {
    args.fit.check_ranges().map_err(|e| Usage(e.to_string()))?;
    let groups = match &args.lines {
        Some(path) => groups(args, path)?,
        None => vec![group(args)?],
    };
    let by = by(args)?;
    let (model, context) = (args.model.model.as_deref(), args.model.load.max_context);
    if let Some(engine) = Engine::of(&args.engine, model, context, None)? {
        engine.can_rate()?;
        let about = json!({ "engine": engine.name(), "model": { "name": engine.model } });
        return score_all(args, &engine, &groups, &by, about);
    }
    let loaded = load(&args.model)?;
    let session = &loaded.session;
    notes::of_session(session);
    let mut about = json!({
        "device": session.device().info,
        "model": { "name": session.model_name(), "path": loaded.path },
    });
    notes::record(&mut about, session.system_prompt());
    score_all(args, session, &groups, &by, about)
}

/// What scores beside the preference itself.
enum By {
    Nothing,
    Fit,
    Server(Box<RewardServer>),
}

fn by(args: &ScoreArgs) -> anyhow::Result<By> {
    let (of, model) = (&args.reward_server, args.reward_model.as_deref());
    let wrong = match (args.reward.parse(), &of.reward_url) {
        (Ok(RewardName::Remote), _) => {
            let server = RewardServer::of(of, model, args.engine.limit(), None)?;
            match server {
                Some(server) => return Ok(By::Server(Box::new(server))),
                None => "this reward needs the server of a reward model (--reward-url)",
            }
        }
        (Ok(RewardName::Fit | RewardName::Preference), Some(_)) => {
            "--reward-url is of --reward remote alone"
        }
        (Ok(RewardName::Fit), None) => return Ok(By::Fit),
        (Ok(RewardName::Preference), None) => return Ok(By::Nothing),
        _ => "score gives fit, preference or remote; the others are `periapt tpo`'s",
    };
    Err(Usage(format!("--reward {}: {wrong}", args.reward)).into())
}

/// Scores all groups and says it; `about` is what the one object says beside the scores.
fn score_all(
    args: &ScoreArgs,
    rater: &impl Rater,
    groups: &[Group],
    by: &By,
    about: Value,
) -> anyhow::Result<()> {
    let mut all = Vec::new();
    for (number, group) in groups.iter().enumerate() {
        let scored = pollster::block_on(score(args, rater, group, by))?;
        if number == 0 && !args.json {
            let name = match by {
                By::Nothing => "",
                By::Fit => "       fit  ",
                By::Server(_) => "    remote  ",
            };
            writeln!(
                terminal::report(),
                "{name}preference  base ppl  pref ppl  distinct-1  -2     -3     repetition  tokens  response"
            )?;
        }
        for scored in scored {
            match (args.json, &args.lines) {
                (false, _) => scored.report()?,
                (true, None) => all.push(scored.object("response")),
                // As soon as it is there: what takes them up goes on after the last one.
                (true, Some(_)) => print_json(&scored.object("id"))?,
            }
        }
    }
    let [group] = groups else {
        return Ok(());
    };
    if !args.json || args.lines.is_some() {
        return Ok(());
    }
    let mut object = about;
    object["scores"] = Value::Array(all);
    object["preference"] = json!(group.conversation.preference);
    match by {
        By::Nothing => {}
        By::Fit => object["reworded"] = json!(group.reworded),
        By::Server(server) => {
            object["reward_model"] = json!({ "name": server.model });
            object["reward_engine"] = json!(server.name());
        }
    }
    print_json(&object)
}

/// What the options name.
fn group(args: &ScoreArgs) -> anyhow::Result<Group> {
    let answer = |path: &std::path::PathBuf| {
        anyhow::Ok(Answer {
            name: json!(path),
            text: response(path)?,
            ended: !args.cut,
            first: true,
        })
    };
    let answers: Vec<Answer> = args.response.iter().map(answer).collect::<Result<_, _>>()?;
    let preference = streams::preference(
        args.prompts.set(false),
        args.prefer.as_deref().unwrap_or_default(),
        "score",
    )?;
    Ok(Group {
        reworded: streams::reworded(&args.reworded, &preference)?,
        conversation: Conversation {
            system: args.prompts.system(false, true),
            preference: Some(preference),
            question: input::question(args.prompt.as_deref().unwrap_or_default())?,
            ..Conversation::default()
        },
        answers,
    })
}

/// What a file's lines name: neighbours that share all but the answer are one group.
fn groups(args: &ScoreArgs, path: &Path) -> Result<Vec<Group>, Usage> {
    let mut groups: Vec<Group> = Vec::new();
    lines::each("--lines", path, |number, line| {
        let AnswerLine {
            id,
            question,
            preference,
            reworded,
            response,
            ended,
            first,
        } = line;
        if is_empty(&question) || response.is_empty() {
            return Err("the question or the response is empty".to_owned());
        }
        let usage = |Usage(why): Usage| why;
        let set = args.prompts.set(false);
        let preference = streams::preference(set, &preference, "score").map_err(usage)?;
        let reworded = streams::reworded(&reworded, &preference).map_err(usage)?;
        let conversation = Conversation {
            system: args.prompts.system(false, true),
            preference: Some(preference),
            question: input::typed(&question),
            ..Conversation::default()
        };
        let answer = Answer {
            name: if id.is_null() { json!(number) } else { id },
            text: input::typed(&response),
            ended,
            first,
        };
        match groups.last_mut() {
            Some(last) if last.conversation == conversation && last.reworded == reworded => {
                last.answers.push(answer);
            }
            _ => groups.push(Group {
                conversation,
                reworded,
                answers: vec![answer],
            }),
        }
        Ok(())
    })?;
    match groups
        .iter()
        .find(|group| !group.answers.iter().any(|answer| answer.first))
    {
        Some(group) => Err(Usage(format!(
            "--lines {}: none of the answers to {:?} is a first one, which the others are held against: leave `first` out of \
             one of them",
            path.display(),
            group.conversation.question
        ))),
        None => Ok(groups),
    }
}

async fn score<'a, M: Rater>(
    args: &ScoreArgs,
    rater: &M,
    group: &'a Group,
    by: &By,
) -> anyhow::Result<Vec<Scored<'a>>> {
    let encode = |answer: &Answer| rater.encode_answer(&answer.text);
    let tokens = group
        .answers
        .iter()
        .map(encode)
        .collect::<Result<Vec<_>, _>>()?;
    let streams = [Stream::base(), Stream::pref()];
    let rated = rater.log_probs_under(&streams, &group.conversation, &tokens);
    let rated = rated.await?;
    let scores =
        (rated.iter().zip(&tokens)).map(|(rated, answer)| Score::of(&rated[0], &rated[1], answer));
    let mut scored: Vec<Scored<'_>> = group
        .answers
        .iter()
        .zip(scores)
        .map(|(answer, score)| Scored {
            answer,
            score,
            fit: None,
            remote: None,
        })
        .collect();
    let responses: Vec<Response<'_>> = group
        .answers
        .iter()
        .map(|answer| Response {
            text: &answer.text,
            ended: answer.ended,
        })
        .collect();
    match by {
        By::Nothing => return Ok(scored),
        By::Fit => {}
        By::Server(server) => {
            let Conversation {
                preference,
                question,
                ..
            } = &group.conversation;
            let mut reward = RemoteReward::new(server.scores(), preference.clone());
            let rewards = reward.score(question, "", &responses).await?;
            for (scored, reward) in scored.iter_mut().zip(rewards) {
                scored.remote = Some(reward);
            }
            return Ok(scored);
        }
    }
    let Conversation {
        system, preference, ..
    } = group.conversation.clone();
    let preference = preference.unwrap_or_default();
    let mut fit = FitReward::new(rater, system, preference, &group.reworded);
    fit.params = args.fit;
    if let Some(neutral) = &args.neutral {
        fit.neutral = input::typed(neutral);
    }
    let ratings = fit.rate(&group.conversation, &responses).await?;
    let of_first = group.answers.iter().zip(&ratings);
    let first: Vec<_> = of_first
        .filter(|(answer, _)| answer.first)
        .map(|(_, rating)| rating.clone())
        .collect();
    fit.scores(&first);
    for ((scored, score), rating) in scored.iter_mut().zip(fit.scores(&ratings)).zip(&ratings) {
        scored.fit = Some((score, args.per_token.then(|| json!(rating))));
    }
    Ok(scored)
}

impl Scored<'_> {
    fn object(&self, name: &str) -> Value {
        let mut object = json!(self.score);
        object[name] = self.answer.name.clone();
        if let Some(remote) = self.remote {
            object["remote"] = json!(remote);
        }
        if let Some((fit, tokens)) = &self.fit {
            object["fit"] = json!(fit);
            if let Some(tokens) = tokens {
                object["fit"]["differences"] = tokens["differences"].clone();
                object["fit"]["counted"] = tokens["counted"].clone();
            }
        }
        object
    }

    fn report(&self) -> anyhow::Result<()> {
        let mut out = terminal::report();
        let fit = self.fit.as_ref().map(|(fit, _)| fit.reward);
        if let Some(reward) = fit.or(self.remote) {
            write!(out, "{reward:>+10.4}  ")?;
        }
        let score = &self.score;
        let [one, two, three] = score.distinct;
        let name = match &self.answer.name {
            Value::String(name) => name.clone(),
            other => other.to_string(),
        };
        writeln!(
            out,
            "{:>+10.4}  {:>8.2}  {:>8.2}  {one:>10.3}  {two:.3}  {three:.3}  {:>10.3}  {:>6}  {}",
            score.preference_score,
            score.base_perplexity,
            score.pref_perplexity,
            score.repetition,
            score.tokens,
            line(&name)
        )?;
        Ok(())
    }
}

/// An answer's text.
fn response(path: &Path) -> anyhow::Result<String> {
    let text = match path.to_str() {
        Some("-") => input::prompt("-")?,
        _ => input::file("--response", path)?,
    };
    match text.is_empty() {
        true => Err(Usage(format!("--response: {} is empty", path.display())).into()),
        false => Ok(text),
    }
}
