//! How the chat is answered, and changing that.

use super::super::Usage;
use super::super::args::{AskArgs, LeanArgs};
use super::super::persona;
use super::{Chat, how};
use crate::say;
use anyhow::bail;
use clap::ValueEnum;
use periapt_core::decoding::{Method, MethodName, Strength};

impl Chat {
    pub(super) fn prefer(&mut self, text: &str) -> anyhow::Result<()> {
        let prefer = match text {
            "" => return self.status(),
            "off" => Vec::new(),
            text => vec![text.to_owned()],
        };
        self.with(|args| (args.prefer, args.lean) = (prefer, LeanArgs::default()))
    }

    pub(super) fn strength(&mut self, text: &str) -> anyhow::Result<()> {
        if text.is_empty() {
            return self.status();
        }
        let start = self.start.clone();
        if text == "off" {
            return self.with(|args| (args.method, args.decoding) = (start.method, start.decoding));
        }
        let strength: f64 = text
            .parse()
            .map_err(|_| Usage(format!("/strength {text}: no number")))?;
        Strength { strength }.check_ranges()?;
        let now = how(&self.args)?;
        if now.method == MethodName::Guidance {
            bail!(Usage(
                "guidance has a weight for each preference: /prefer TEXT:WEIGHT".to_owned()
            ));
        }
        // The guards that hold stay.
        self.with(|args| {
            args.decoding = now.decoding;
            args.decoding.strength.strength = strength;
            args.method = Some(MethodName::La);
        })
    }

    pub(super) fn method(&mut self, name: &str) -> anyhow::Result<()> {
        let method = match name {
            "" => return self.status(),
            "off" => self.start.method,
            name => Some(MethodName::from_str(name, true).map_err(|_| {
                Usage(format!(
                    "/method {name}: there are base, pref, la, amulet and guidance"
                ))
            })?),
        };
        let decoding = self.start.decoding.clone();
        self.with(|args| (args.method, args.decoding) = (method, decoding))
    }

    pub(super) fn system(&mut self, text: &str) {
        match text {
            "" => {}
            "off" => self.args.prompts.system = None,
            text => self.args.prompts.system = Some(text.to_owned()),
        }
        match &self.args.prompts.system {
            Some(system) => say!("the system prompt: {system}"),
            None => say!("no system prompt but the model's own, or that of the preference"),
        }
    }

    /// Changes how questions are answered, unless no question could be answered like that.
    pub(super) fn with(&mut self, change: impl FnOnce(&mut AskArgs)) -> anyhow::Result<()> {
        let mut changed = self.args.clone();
        change(&mut changed);
        let request = how(&changed)?.request(&changed, Vec::new(), String::new())?;
        request.validate()?;
        self.args = changed;
        self.status()
    }

    pub(super) fn status(&self) -> anyhow::Result<()> {
        let how = how(&self.args)?;
        let request = how.request(&self.args, Vec::new(), String::new())?;
        if let Some(leans) = &how.leans {
            say!("each answer {}", persona::leaning(leans));
            return Ok(());
        }
        let (method, wishes) = (&request.method, self.args.prefer.join("; "));
        let guard = match request.sampling.plausibility {
            0.0 => String::new(),
            share => format!(", plausibility {share}"),
        };
        match (method, wishes.is_empty()) {
            (Method::Base, true) => say!("base, without a preference (/prefer TEXT)"),
            (Method::Base | Method::Pref, _) => {
                say!("{}, with the preference {wishes:?}", method.name())
            }
            _ => say!(
                "{} at k = {:.4}{guard}, with the preference {wishes:?}",
                method.name(),
                method.strength()
            ),
        }
        Ok(())
    }
}
