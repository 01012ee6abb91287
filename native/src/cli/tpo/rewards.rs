//! The rewards that are asked for, and the models behind them.

use super::super::Usage;
use super::super::args::RefineArgs;
use super::super::engine::RewardServer;
use super::super::load::{Loaded, load_classifier};
use super::super::source;
use super::{Asked, human};
use periapt_core::contract::{ModelHash, RecordHeader};
use periapt_core::reward::{
    AnyReward, ClassifierReward, Human, Rater, RemoteReward, RewardName, Sum,
};
use periapt_core::session::Classifier;
use std::io::IsTerminal;
use std::path::PathBuf;

/// The rewards by name, with their weights.
pub fn named(args: &RefineArgs) -> Result<Vec<(RewardName, f64)>, Usage> {
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
            wrong("it must be fit, preference, judge, classifier, remote or human, or several joined by +")
        })?;
        match name {
            RewardName::Classifier if args.reward_model.is_none() => {
                Err(wrong("this reward needs a reward model (--reward-model)"))
            }
            RewardName::Remote if args.reward_server.reward_url.is_none() => Err(wrong(
                "this reward needs the server of a reward model (--reward-url)",
            )),
            name if RewardName::wants_preference(name) && args.prefer.is_none() => {
                Err(wrong("this reward needs a preference (--prefer)"))
            }
            RewardName::Human if !std::io::stdin().is_terminal() => Err(wrong(
                "this reward asks you, and standard input is no terminal",
            )),
            name => Ok((name, weight)),
        }
    };
    let rewards = spec.split('+').map(one).collect::<Result<Vec<_>, _>>()?;
    let has = |wanted: RewardName| rewards.iter().any(|(name, _)| *name == wanted);
    let (classifier, remote) = (has(RewardName::Classifier), has(RewardName::Remote));
    let wrong = match args.reward_model {
        Some(_) if classifier && remote => {
            "--reward-model is one model, and classifier and remote each have their own: take one of these rewards"
        }
        Some(_) if !classifier && !remote => {
            "--reward-model is of --reward classifier and remote alone, which were not asked for"
        }
        _ if args.reward_server.reward_url.is_some() && !remote => {
            "--reward-url is of --reward remote alone, which was not asked for"
        }
        _ => return Ok(rewards),
    };
    Err(Usage(wrong.to_owned()))
}

/// The server of the reward model, where one is asked for.
pub fn server(args: &RefineArgs) -> anyhow::Result<Option<RewardServer>> {
    let (model, limit) = (args.reward_model.as_deref(), args.engine.limit());
    RewardServer::of(&args.reward_server, model, limit, args.batch)
}

/// The reward models.
pub struct Scorers {
    /// This machine's.
    classifier: Option<(Classifier, PathBuf)>,
    server: Option<RewardServer>,
}

impl Scorers {
    /// Loads what is to be on this machine.
    pub fn of(
        args: &RefineArgs,
        asked: &Asked,
        server: Option<RewardServer>,
        beside: Option<&Loaded>,
    ) -> anyhow::Result<Self> {
        let is_here = |(name, _): &(RewardName, f64)| *name == RewardName::Classifier;
        let wanted = asked.rewards.iter().any(is_here);
        let model = args.reward_model.as_deref().filter(|_| wanted);
        let load = |model| load_classifier(model, &args.model.load, beside);
        Ok(Self {
            classifier: model.map(load).transpose()?,
            server,
        })
    }

    /// Names them in a record's header.
    pub fn describe(&self, header: &mut RecordHeader) -> anyhow::Result<()> {
        if let Some((classifier, path)) = &self.classifier {
            header.reward_model = Some(ModelHash {
                name: classifier.model_name().map(str::to_owned),
                sha256: Some(source::sha256(path)?),
            });
        }
        if let Some(server) = &self.server {
            header.reward_model = Some(ModelHash {
                name: Some(server.model.clone()),
                sha256: None,
            });
            header.reward_engine = Some(server.name());
        }
        Ok(())
    }

    /// What was asked for, rated by `rater`.
    pub fn rewards<'a, M: Rater>(&'a self, rater: &'a M, asked: &Asked) -> Sum<'a, M> {
        let rewards = asked.rewards.iter();
        Sum(rewards
            .map(|(name, weight)| (self.reward(*name, rater, asked), *weight))
            .collect())
    }

    fn reward<'a, M: Rater>(
        &'a self,
        name: RewardName,
        rater: &'a M,
        asked: &Asked,
    ) -> AnyReward<'a, M> {
        let (system, preference) = (asked.system.clone(), asked.preference.clone());
        match (name, &self.classifier, &self.server) {
            (RewardName::Classifier, Some((classifier, _)), _) => {
                AnyReward::Classifier(ClassifierReward::new(classifier, preference))
            }
            (RewardName::Remote, _, Some(server)) => {
                AnyReward::Remote(RemoteReward::new(server.scores(), preference))
            }
            _ => AnyReward::of_model(name, rater, system, preference, &asked.reworded)
                .unwrap_or_else(|| AnyReward::Human(Human::new(human::ask()))),
        }
    }
}
