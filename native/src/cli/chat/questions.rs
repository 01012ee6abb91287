//! Questions and their answers.

use super::super::answer::{answer, length, title};
use super::super::trace::{self, Token, Trace};
use super::super::{Usage, notes, streams, tpo};
use super::file::{PlainToken, Run, RunToken, Turn};
use super::{Chat, NOTHING, how};
use crate::say;
use crate::terminal;
use anyhow::bail;
use periapt_core::Error;
use periapt_core::decoding::{Method, MethodName};
use periapt_core::model::ModelError;
use periapt_core::session::{Event, FinishReason, GenerateRequest};
use periapt_core::text::{Message, Role};
use periapt_core::tpo::Query;
use std::io::Write;
use std::ops::ControlFlow;

/// The best tokens of each stream that a heat map keeps, as on the page.
const TRACED: usize = 5;

impl Chat {
    pub(super) fn ask(&mut self, question: &str) -> anyhow::Result<()> {
        let how = how(&self.args)?;
        // What was said already is said no more.
        how.notes
            .iter()
            .filter(|note| !self.notes.contains(note))
            .for_each(|note| terminal::say(note));
        self.notes.clone_from(&how.notes);
        let earlier = history(&self.turns, Turn::answer);
        let request = how.request(&self.args, earlier, question.to_owned())?;
        self.retries = 0;
        if let Some(turn) = self.turn(request)? {
            self.turns.push(turn);
            self.changed();
        }
        Ok(())
    }

    pub(super) fn retry(&mut self) -> anyhow::Result<()> {
        let Some(last) = self.turns.last() else {
            bail!(Usage(
                "there is no question yet: ask something first".to_owned()
            ));
        };
        let question = last.question.clone();
        let how = how(&self.args)?;
        let earlier = history(&self.turns[..self.turns.len() - 1], Turn::answer);
        let mut request = how.request(&self.args, earlier, question)?;
        let is_drawn = request.sampling.temperature > 0.0;
        let seed = request.sampling.seed;
        if is_drawn {
            request.sampling.seed = seed.wrapping_add(self.retries + 1);
        } else if last.answer().and_then(|run| run.asked.as_ref()) == Some(&request) {
            say!(
                "the best token is taken at each step, so the answer stays the same: change something first, or start with --temperature"
            );
        }
        if let (Some(turn), Some(last)) = (self.turn(request)?, self.turns.last_mut()) {
            *last = turn;
            self.retries += 1;
            self.changed();
        }
        Ok(())
    }

    /// A question's turn, with its answer as it came; nothing where that was stopped before its first token.
    pub(super) fn turn(&mut self, request: GenerateRequest) -> anyhow::Result<Option<Turn>> {
        let run = self.write(request, true)?;
        if run.tokens.is_empty() {
            say!("stopped before the answer began: the question is not part of the chat");
            return Ok(None);
        }
        let question = run.header.question.clone();
        let (base, aligned) = match run.header.method {
            MethodName::Base => (Some(run), None),
            _ => (None, Some(run)),
        };
        Ok(Some(Turn {
            question,
            base,
            aligned,
        }))
    }

    /// An answer, shown as it is written where `stream` is set. Ctrl-C ends it.
    pub(super) fn write(
        &mut self,
        mut request: GenerateRequest,
        stream: bool,
    ) -> anyhow::Result<Run> {
        request.validate()?;
        let asked = Some(request.clone());
        streams::assign(&mut request.method, &self.companions);
        let prompting = self.loaded.session.prompting(&request)?;
        if self.prompting.replace(prompting) != Some(prompting) {
            notes::of_prompts(prompting);
        }
        let mut header = self.loaded.session.run_header(&request, prompting);
        header.model.path = self.loaded.path.to_string_lossy().into_owned();
        let mut tokens = Vec::new();
        self.interrupts.begin();
        let written = answer(&self.loaded, &request, stream, &mut |event| {
            if let Event::Token {
                text,
                id,
                k,
                kl,
                trace,
                ..
            } = *event
            {
                let (index, text) = (tokens.len(), text.to_owned());
                tokens.push(match trace {
                    Some(trace) => RunToken::Traced(Box::new(Token {
                        index,
                        text,
                        trace: trace.clone(),
                    })),
                    None => RunToken::Plain(PlainToken {
                        index,
                        text,
                        id: Some(id),
                        k,
                        kl: kl.map(f64::from),
                    }),
                });
            }
            Ok(match self.interrupts.came() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            })
        });
        let written = written.map_err(fitting)?;
        let finish = written.generation.finish_reason;
        if stream {
            match finish {
                FinishReason::Cancelled if !tokens.is_empty() => {
                    say!("[stopped: what is there stays]")
                }
                FinishReason::Length if tokens.len() < request.max_new_tokens => {
                    say!(
                        "[cut: the model's context is full. /undo takes the last turn away, /clear begins anew]"
                    );
                }
                FinishReason::Length => say!(
                    "[cut at the limit of {} tokens (--max-new-tokens)]",
                    tokens.len()
                ),
                _ => {}
            }
        }
        let speed = Some(written.tokens_per_second()).filter(|speed| *speed > 0.0);
        Ok(Run {
            header,
            tokens,
            finish: Some(finish),
            speed,
            asked,
        })
    }

    /// The last question by base, as the page's left column has it.
    pub(super) fn compare(&mut self) -> anyhow::Result<()> {
        let Some(last) = self.turns.last() else {
            bail!(Usage(NOTHING.to_owned()));
        };
        let Some(aligned) = &last.aligned else {
            bail!(Usage(
                "the last answer is base's own: /prefer TEXT, and /retry".to_owned()
            ));
        };
        let (aligned, question) = (aligned.clone(), last.question.clone());
        let earlier = history(&self.turns[..self.turns.len() - 1], |turn| {
            turn.base.as_ref().or(turn.aligned.as_ref())
        });
        let mut request = how(&self.args)?.request(&self.args, earlier, question)?;
        request.method = Method::Base;
        (request.sampling.kl_budget, request.sampling.adaptive) = (None, None);
        writeln!(terminal::answer(), "{}", title(&Method::Base))?;
        let base = self.write(request, true)?;
        let mut out = terminal::answer();
        writeln!(
            out,
            "[{}]\n",
            length(&base.text(), base.tokens.len(), base.finish)
        )?;
        let header = &aligned.header;
        writeln!(
            out,
            "--- {} (k = {:.4}) ---\n{}",
            header.method,
            header.strength,
            aligned.text()
        )?;
        writeln!(
            out,
            "[{}]",
            length(&aligned.text(), aligned.tokens.len(), aligned.finish)
        )?;
        if let (Some(last), false) = (self.turns.last_mut(), base.tokens.is_empty()) {
            last.base = Some(base);
            self.changed();
        }
        Ok(())
    }

    /// The last answer's heat map. Its probabilities are computed with the answer once more: reading them all back at every
    /// token would slow each one.
    pub(super) fn why(&mut self) -> anyhow::Result<()> {
        let run = self.turns.last().and_then(Turn::answer);
        let Some(run) = run.cloned() else {
            bail!(Usage(NOTHING.to_owned()));
        };
        if let Some(trace) = traced(&run) {
            return trace::show(&trace);
        }
        let Some(mut request) = run.asked.clone() else {
            bail!(Usage(
                "this answer came from a file without its probabilities: /retry answers anew, and then /why".to_owned()
            ));
        };
        say!("computing the answer once more, with its probabilities");
        (request.trace, request.max_new_tokens) = (Some(TRACED), run.tokens.len());
        let again = self.write(request, false)?;
        let Some(mut trace) = traced(&again).filter(|_| again.tokens.len() == run.tokens.len())
        else {
            bail!("stopped before all was computed");
        };
        trace.finish_reason = run.finish;
        trace::show(&trace)?;
        if again.text() != run.text() {
            say!(
                "[computed once more, the answer differs: two tokens were equally likely. The chat keeps the first one]"
            );
            return Ok(());
        }
        let again = Run {
            tokens: again.tokens,
            ..run
        };
        if let Some(last) = self.turns.last_mut() {
            match last.aligned {
                Some(_) => last.aligned = Some(again),
                None => last.base = Some(again),
            }
            self.changed();
        }
        Ok(())
    }

    pub(super) fn refine(&mut self) -> anyhow::Result<()> {
        let Some((last, before)) = self.turns.split_last() else {
            bail!(Usage(
                "there is no question yet: ask something first".to_owned()
            ));
        };
        let how = how(&self.args)?;
        if how.method == MethodName::Guidance {
            bail!(Usage(
                "/refine goes by one preference without a weight, or by none".to_owned()
            ));
        }
        let earlier = history(before, Turn::answer);
        let conversation = how.conversation(&self.args, earlier, last.question.clone())?;
        let wish = conversation.preference.as_deref().unwrap_or_default();
        let query = Query {
            reworded: streams::reworded(&[], wish)?,
            question: conversation.question,
            system: conversation.system,
            earlier: conversation.earlier,
            preference: conversation.preference,
        };
        self.interrupts.begin();
        let query = query.with_default_system();
        let outcome = tpo::refine_once(&self.loaded.session, &query, || self.interrupts.came())?;
        let Some(best) = outcome.answer() else {
            bail!("stopped before the first response");
        };
        let stopped = if outcome.cancelled { ", stopped" } else { "" };
        writeln!(terminal::answer(), "{}", best.text)?;
        say!(
            "[reward {:.4} after {} generations{stopped}; no part of the chat (`periapt tpo --record` keeps a run)]",
            outcome.reward().unwrap_or(f64::NAN),
            outcome.generations
        );
        Ok(())
    }
}

/// What was said before a question, by the answer of each turn that `of` chooses; a turn without one is left out.
fn history(turns: &[Turn], of: impl Fn(&Turn) -> Option<&Run>) -> Vec<Message> {
    let mut messages = Vec::new();
    for turn in turns {
        let Some(run) = of(turn).filter(|run| !run.tokens.is_empty()) else {
            continue;
        };
        let said = [
            (Role::User, turn.question.clone()),
            (Role::Assistant, run.text()),
        ];
        messages.extend(said.map(|(role, content)| Message { role, content }));
    }
    messages
}

/// The run as a trace, where all of its tokens have their probabilities.
fn traced(run: &Run) -> Option<Trace> {
    let token = |token: &RunToken| match token {
        RunToken::Traced(token) => Some((**token).clone()),
        RunToken::Plain(_) => None,
    };
    Some(Trace {
        header: run.header.clone(),
        tokens: run.tokens.iter().map(token).collect::<Option<_>>()?,
        finish_reason: run.finish,
    })
}

/// Says what to do about a conversation that has grown too long.
fn fitting(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref() {
        Some(Error::Model(ModelError::ContextFull { prompt, context })) => Usage(format!(
            "the chat takes {prompt} tokens with this question, and the model's context holds {context}: nothing of it was \
             dropped. /undo takes the last turn away, /clear begins anew (/save FILE keeps the chat before)"
        ))
        .into(),
        _ => error,
    }
}
