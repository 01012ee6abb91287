//! A conversation for a model whose chat template may have no place for a system prompt.
//!
//! What a template does with a system prompt is found out by rendering neutral words in place of each message and looking
//! for them. Where the system prompt is refused, or left out, it goes before the first user's message, with an empty line
//! between, as llama.cpp and vLLM do it. Where a question does not show, its text is given as a list of parts, which is all
//! that some templates read.

use super::{ChatTemplate, Message, Role, TextError, Today, Tokenizer};
use std::borrow::Cow;

/// What became of a conversation's system prompt.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "contract", derive(ts_rs::TS))]
pub enum SystemPrompt {
    /// The template writes it.
    Shown,
    /// The template has no place for it, and it stands before the user's message.
    Folded,
    /// The template leaves it out.
    LeftOut,
}

/// A conversation's token ids, and what the template did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// The token ids.
    pub ids: Vec<u32>,
    /// What became of the system prompt, where there is one.
    pub system: Option<SystemPrompt>,
    /// Whether the last user's message is in it.
    pub question: bool,
}

/// A chat template that loses nothing.
#[derive(Debug, Clone)]
pub struct Chat {
    template: ChatTemplate,
    bos: String,
    eos: String,
}

/// Turns each message's text into a list of one part before the template sees it. It stands on the template's first line,
/// so that the lines of its errors are its own, and ends in an expression, after which no line break is left out.
const AS_PARTS: &str = "{%- set periapt = namespace(messages=[]) -%}{%- for message in messages -%}{%- set \
    periapt.messages = periapt.messages + [{'role': message.role, 'content': [{'type': 'text', 'text': \
    message.content}]}] -%}{%- endfor -%}{%- set messages = periapt.messages -%}{{ '' }}";

/// Words that stand for a system prompt, for the last question, and for what was said before it.
const SYSTEM: &str = "zqalpha zqbeta.\n\nzqgamma";
const QUESTION: &str = "zqdelta zqepsilon?";
const TURN: &str = "zqzeta";

/// One way to give a conversation to the template.
#[derive(Debug, Clone, Copy)]
struct Way {
    /// The message that takes the system prompt.
    fold: Option<usize>,
    /// Each text as a list of parts.
    parts: bool,
    /// Whether the system prompt shows, if there is one, and the last question.
    system: bool,
    question: bool,
}

impl Chat {
    /// See [`ChatTemplate::new`].
    ///
    /// # Errors
    /// As there.
    pub fn new(source: &str, bos: &str, eos: &str) -> Result<Self, TextError> {
        Ok(Self {
            template: ChatTemplate::new(source, bos, eos)?,
            bos: bos.to_owned(),
            eos: eos.to_owned(),
        })
    }

    /// The template.
    #[must_use]
    pub fn template(&self) -> &ChatTemplate {
        &self.template
    }

    /// See [`ChatTemplate::set_today`].
    pub fn set_today(&mut self, today: Option<Today>) {
        self.template.set_today(today);
    }

    /// What becomes of a system prompt before a single question; `None` where the template refuses that question.
    #[must_use]
    pub fn system_prompt(&self) -> Option<SystemPrompt> {
        let messages = [Role::System, Role::User].map(|role| Message {
            role,
            content: TURN.to_owned(),
        });
        let way = self.way(&messages, true, true).ok()?;
        Some(way.of_system())
    }

    /// Token ids of a conversation, as [`ChatTemplate::encode`] gives them, with its system prompt, which is the first
    /// message where there is one, wherever the template lets it stand. A template that names the system's role and leaves
    /// the prompt out has its way where `fold` is false, as in the transformers library.
    ///
    /// # Errors
    /// As [`ChatTemplate::encode`].
    pub fn encode(
        &self,
        tokenizer: &Tokenizer,
        messages: &[Message],
        add_generation_prompt: bool,
        fold: bool,
    ) -> Result<Encoded, TextError> {
        let way = self.way(messages, add_generation_prompt, fold)?;
        let given = way.give(messages);
        let ids = match way.parts {
            true => (self.of_parts()?).encode(tokenizer, &given, add_generation_prompt)?,
            false => (self.template).encode(tokenizer, &given, add_generation_prompt)?,
        };
        let says = |message: &Message| !message.content.trim().is_empty();
        Ok(Encoded {
            ids,
            system: system(messages)
                .filter(|m| says(m))
                .map(|_| way.of_system()),
            question: way.question,
        })
    }

    /// The first way in which nothing is lost, or else the question is not, or else that is no error.
    fn way(&self, messages: &[Message], generation: bool, fold: bool) -> Result<Way, TextError> {
        let users = (messages.iter().enumerate()).filter(|(_, m)| m.role == Role::User);
        let users: Vec<usize> = users.map(|(at, _)| at).collect();
        let mut folds = vec![None];
        if system(messages).is_some() {
            folds.extend(users.first().map(|at| Some(*at)));
            folds.extend(users.last().filter(|_| users.len() > 1).map(|at| Some(*at)));
        }
        let names_it = !fold && self.template.source().contains(Role::System.name());
        let (mut best, mut refused): (Option<Way>, _) = (None, None);
        for fold in folds {
            for parts in [false, true] {
                match self.try_way(fold, parts, messages, generation) {
                    Ok(way) => {
                        if way.question && (way.system || (names_it && fold.is_none())) {
                            return Ok(way);
                        }
                        if best.is_none_or(|best| way.question && !best.question) {
                            best = Some(way);
                        }
                        if way.question {
                            break;
                        }
                    }
                    Err(error) => drop(refused.get_or_insert(error)),
                }
            }
        }
        let none = || TextError::Template("it takes no conversation".to_owned());
        best.ok_or_else(|| refused.unwrap_or_else(none))
    }

    /// What shows of a conversation that is given to the template in that way.
    fn try_way(
        &self,
        fold: Option<usize>,
        parts: bool,
        messages: &[Message],
        generation: bool,
    ) -> Result<Way, TextError> {
        let own;
        let template = match parts {
            true => {
                own = self.of_parts()?;
                &own
            }
            false => &self.template,
        };
        let mut way = Way {
            fold,
            parts,
            system: system(messages).is_none(),
            question: false,
        };
        let asked = messages.iter().rposition(|m| m.role == Role::User);
        way.question = asked.is_none();
        let render = |system: &str, question: &str| {
            let stand_in = |(at, message): (usize, &Message)| Message {
                role: message.role,
                content: match message.role {
                    Role::System => system.to_owned(),
                    Role::User if Some(at) == asked => question.to_owned(),
                    _ if message.content.is_empty() => String::new(),
                    _ => TURN.to_owned(),
                },
            };
            let probe: Vec<Message> = messages.iter().enumerate().map(stand_in).collect();
            template.render(&way.give(&probe), generation)
        };
        let rendered = render(SYSTEM, QUESTION)?;
        // A list that is written out whole is no text that the template reads.
        if parts
            && ["'type': 'text'", "\"type\": \"text\""]
                .iter()
                .any(|list| rendered.contains(list))
        {
            return Ok(way);
        }
        // Whole, or in another form: other words then make other text.
        let shows = |words: &str, other: &dyn Fn() -> Result<String, TextError>| {
            let found = rendered.to_lowercase();
            words.split_whitespace().all(|word| found.contains(word))
                || other().is_ok_and(|other| other != rendered)
        };
        let system = way.system || shows(SYSTEM, &|| render(&others(SYSTEM), QUESTION));
        let question = way.question || shows(QUESTION, &|| render(SYSTEM, &others(QUESTION)));
        Ok(Way {
            system,
            question,
            ..way
        })
    }

    fn of_parts(&self) -> Result<ChatTemplate, TextError> {
        let source = format!("{AS_PARTS}{}", self.template.source());
        let mut template = ChatTemplate::new(&source, &self.bos, &self.eos)?;
        template.set_today(self.template.today());
        Ok(template)
    }
}

impl Way {
    /// The conversation as the template is given it.
    fn give<'m>(&self, messages: &'m [Message]) -> Cow<'m, [Message]> {
        let (Some(at), Some(system)) = (self.fold, system(messages)) else {
            return Cow::Borrowed(messages);
        };
        let mut folded = messages.to_vec();
        let content = &mut folded[at].content;
        if !system.content.trim().is_empty() {
            *content = match content.is_empty() {
                true => system.content.clone(),
                false => format!("{}\n\n{content}", system.content),
            };
        }
        folded.remove(0);
        Cow::Owned(folded)
    }

    fn of_system(&self) -> SystemPrompt {
        match (self.fold, self.system) {
            (Some(_), _) => SystemPrompt::Folded,
            (None, true) => SystemPrompt::Shown,
            (None, false) => SystemPrompt::LeftOut,
        }
    }
}

/// The system prompt.
fn system(messages: &[Message]) -> Option<&Message> {
    messages.first().filter(|first| first.role == Role::System)
}

/// As many letters, all of them others.
fn others(words: &str) -> String {
    let next = |c: char| match c {
        'z' => 'a',
        'a'..='y' => (c as u8 + 1) as char,
        other => other,
    };
    words.chars().map(next).collect()
}

#[cfg(test)]
mod tests;
