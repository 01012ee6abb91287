//! Conversations to token ids, by the template that the model file carries
//! (`tokenizer.chat_template`, Jinja as transformers renders it).
//!
//! # Why typed text cannot become a control token
//!
//! The control tokens that the template writes are made recognizable before anything typed is
//! near them: in the template's source (and in `bos_token` and `eos_token`) each control token is
//! replaced by one *mark*, a private-use character that occurs in no message. Then the template is
//! rendered, and the ids are: a control token for each mark, and the text between two marks,
//! encoded whole, as ordinary text. What a person typed holds no mark, and no filter makes one, so it
//! stays text, whatever the template does to it; nor does the template see it changed.
//!
//! Some templates put control tokens together from pieces (`'<|' + role + '|>'`). Those show when
//! the conversation is rendered with neutral contents, and these tokens, no others, are looked for
//! in the rendered text, too. In such a template's messages, a further private-use character is
//! first put into each such token, and between a message's end and text that could complete one; it
//! is taken out again before encoding.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::control::{Part, TokenMatcher};
use super::jinja::{self, Given, Limits, Template};
use super::{TextError, Today, Tokenizer};

/// Bytes of a template. The largest in use are about 20 KB.
const MAX_SOURCE: usize = 1 << 17;

/// Who said a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "contract", derive(ts_rs::TS))]
pub enum Role {
    /// Instructions for the whole conversation.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

impl Role {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "contract", derive(ts_rs::TS))]
pub struct Message {
    /// Who said it.
    pub role: Role,
    /// What was said: text, never markup.
    pub content: String,
}

/// A model's chat template.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    source: String,
    bos: String,
    eos: String,
    today: Option<Today>,
}

impl ChatTemplate {
    /// Takes the template's source and the texts of the BOS and EOS tokens (empty where the model
    /// has none), and checks that it can be read. What it uses and we don't have is refused when
    /// it is reached.
    ///
    /// # Errors
    /// [`TextError::Template`], with the line.
    pub fn new(source: &str, bos: &str, eos: &str) -> Result<Self, TextError> {
        if source.len() > MAX_SOURCE {
            let length = source.len();
            return Err(refused(format!(
                "{length} bytes long, more than the limit of {MAX_SOURCE}"
            )));
        }
        Template::new(source).map_err(failed)?;
        Ok(Self {
            source: source.to_owned(),
            bos: bos.to_owned(),
            eos: eos.to_owned(),
            today: None,
        })
    }

    /// The day that the template's `strftime_now` gives from now on. Without one, there is no such
    /// function: Llama 3's templates then write a date of their own, Mistral Small's fail.
    pub fn set_today(&mut self, today: Option<Today>) {
        self.today = today;
    }

    /// The day that the template tells the model: the one given, where the template asks for it.
    #[must_use]
    pub fn today(&self) -> Option<Today> {
        let asks = self.source.contains("strftime_now");
        self.today.filter(|_| asks)
    }

    /// The template's source.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The conversation as the template writes it, control tokens as text: for display, and the
    /// text on which a reference tokenizer gives [`ChatTemplate::encode`]'s ids.
    /// `add_generation_prompt` opens the assistant's next turn.
    ///
    /// # Errors
    /// [`TextError::Template`] where the template refuses the conversation, uses what we do not
    /// have (`strftime_now` without a day: core knows no clock), or breaks a limit.
    pub fn render(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
    ) -> Result<String, TextError> {
        let contents: Vec<&str> = messages.iter().map(|m| m.content.as_str()).collect();
        self.render_contents(messages, &contents, add_generation_prompt, &[])
    }

    /// Token ids of the rendered conversation. BOS is there if the template writes it. Text in
    /// `messages` never becomes a control token (see the module's text for why); ordinary text
    /// tokenizes as the reference tokenizer does on the rendered text.
    ///
    /// # Errors
    /// As [`ChatTemplate::render`] and [`Tokenizer::encode`].
    pub fn encode(
        &self,
        tokenizer: &Tokenizer,
        messages: &[Message],
        add_generation_prompt: bool,
    ) -> Result<Vec<u32>, TextError> {
        let control = tokenizer.control_tokens();
        let mut free = self.free_characters(control, messages)?;
        let mut take = || {
            free.next()
                .ok_or_else(|| refused("no private-use character is free".to_owned()))
        };
        let (neutral, seam) = (take()?.to_string(), take()?);
        let mut marks = Marks::default();
        let marked = Self {
            source: marks.put(&self.source, control, &mut take)?,
            bos: marks.put(&self.bos, control, &mut take)?,
            eos: marks.put(&self.eos, control, &mut take)?,
            today: self.today,
        };
        let mut verbatim: Vec<char> = marks.token_of.keys().copied().collect();
        verbatim.push(seam);
        let render = |contents: &[&str]| {
            marked.render_contents(messages, contents, add_generation_prompt, &verbatim)
        };

        let probe = render(&vec![neutral.as_str(); messages.len()])?;
        // A token of one character is put together from nothing.
        let in_probe = control.find(&probe).into_iter();
        let in_probe = in_probe.map(|(range, id)| (&probe[range], id));
        let assembled =
            TokenMatcher::new(in_probe.filter(|(text, _)| text.chars().nth(1).is_some()));
        let seamed: Vec<String> = messages
            .iter()
            .map(|m| with_seams(&m.content, &assembled, seam))
            .collect();
        let rendered = render(&seamed.iter().map(String::as_str).collect::<Vec<_>>())?;

        // The text as a reference tokenizer gets it, and where in it the control tokens stand.
        let (mut text, mut found) = (String::with_capacity(rendered.len()), Vec::new());
        let mut write = |written: &str, id: Option<u32>| {
            let begin = text.len();
            text.push_str(written);
            found.extend(id.map(|id| (begin..text.len(), id)));
        };
        let mut rest = rendered.as_str();
        loop {
            let mark = rest.find(|c| marks.token_of.contains_key(&c));
            let run = &rest[..mark.unwrap_or(rest.len())];
            let mut done = 0;
            for (range, id) in assembled.find(run) {
                write(&run[done..range.start].replace(seam, ""), None);
                done = range.end;
                write(&run[range], Some(id));
            }
            write(&run[done..].replace(seam, ""), None);
            let Some((character, at)) =
                mark.and_then(|at| rest[at..].chars().next().map(|c| (c, at)))
            else {
                return tokenizer.encode_found(&text, found);
            };
            if let Some(id) = marks.token_of.get(&character) {
                write(&tokenizer.piece(*id).unwrap_or_default(), Some(*id));
            }
            rest = &rest[at + character.len_utf8()..];
        }
    }

    /// Renders with other contents. Characters in `verbatim` stay as they are where a template
    /// writes escapes for others.
    fn render_contents(
        &self,
        messages: &[Message],
        contents: &[&str],
        add_generation_prompt: bool,
        verbatim: &[char],
    ) -> Result<String, TextError> {
        let roles = messages.iter().map(|message| message.role.name());
        let given = vec![
            (
                "messages",
                Given::Messages(roles.zip(contents.iter().copied()).collect()),
            ),
            ("add_generation_prompt", Given::Bool(add_generation_prompt)),
            ("bos_token", Given::Text(&self.bos)),
            ("eos_token", Given::Text(&self.eos)),
            ("tools", Given::None),
            ("documents", Given::None),
        ];
        let items = messages.len() as u64;
        let bytes: usize = contents.iter().map(|content| content.len()).sum();
        // Templates copy what they have written so far, and some go through all messages for each.
        let size = (1 << 14) + self.source.len() + bytes + messages.len() * 256;
        let limits = Limits {
            steps: 100_000 + 4_000 * items + 16 * items * items,
            bytes: size as u64 * 2048,
            value: size * 8,
            today: self.today,
            verbatim,
        };
        let template = Template::new(&self.source).map_err(failed)?;
        template.render(given, &limits).map_err(failed)
    }

    /// Characters of the private-use planes that occur nowhere in what is rendered.
    fn free_characters(
        &self,
        control: &TokenMatcher,
        messages: &[Message],
    ) -> Result<impl Iterator<Item = char> + use<>, TextError> {
        let private = |c: &char| ('\u{f0000}'..='\u{10fffd}').contains(c);
        let used: std::collections::HashSet<char> = (messages.iter().map(|m| m.content.as_str()))
            .chain([self.source.as_str(), &self.bos, &self.eos])
            .chain(control.texts())
            .flat_map(str::chars)
            .filter(private)
            .collect();
        Ok(('\u{f0000}'..='\u{10fffd}').filter(move |c| !used.contains(c)))
    }
}

/// The marks that stand for the template's own control tokens.
#[derive(Default)]
struct Marks {
    token_of: HashMap<char, u32>,
    mark_of: HashMap<u32, char>,
}

impl Marks {
    /// `text` with its control tokens replaced by marks.
    fn put(
        &mut self,
        text: &str,
        control: &TokenMatcher,
        take: &mut impl FnMut() -> Result<char, TextError>,
    ) -> Result<String, TextError> {
        let mut marked = String::new();
        for part in control.split(text) {
            match part {
                Part::Text(run) => marked.push_str(run),
                Part::Token(id) => {
                    let mark = match self.mark_of.get(&id) {
                        Some(mark) => *mark,
                        None => take()?,
                    };
                    self.mark_of.insert(id, mark);
                    self.token_of.insert(mark, id);
                    marked.push(mark);
                }
            }
        }
        Ok(marked)
    }
}

/// `content` with `seam` inside each of `tokens`, and next to its first and its last character that
/// is no space if text put before or behind could complete one there.
fn with_seams(content: &str, tokens: &TokenMatcher, seam: char) -> String {
    let parts_of = |fits: &dyn Fn(&str, &str) -> bool| {
        // Whether `text`, or a part of it at its edge, is a proper part of a token.
        tokens.texts().any(|token| {
            (token.char_indices().skip(1)).any(|(at, _)| fits(&token[..at], &token[at..]))
        })
    };
    let ends = [content, content.trim()];
    let opens = ends.iter().any(|end| {
        parts_of(&|_, tail| end.starts_with(tail) || (!end.is_empty() && tail.contains(end)))
    });
    let closes = ends.iter().any(|end| {
        parts_of(&|head, _| end.ends_with(head) || (!end.is_empty() && head.contains(end)))
    });
    let first = content.len() - content.trim_start().len();
    let last = content.trim_end().len();
    let mut seamed = String::with_capacity(content.len());
    for (at, character) in content.char_indices() {
        if opens && (at == 0 || at == first) {
            seamed.push(seam);
        }
        seamed.push(character);
        let after = at + character.len_utf8();
        let inside = tokens.longest_at(content, at).is_some();
        if inside || (closes && (after == last || after == content.len())) {
            seamed.push(seam);
        }
    }
    seamed
}

fn refused(what: String) -> TextError {
    TextError::Template(what)
}

fn failed(error: jinja::Error) -> TextError {
    let jinja::Error { message, line } = error;
    let line = line.map_or_else(String::new, |line| format!(" (line {line})"));
    let hint = match message.contains("'strftime_now' is undefined") {
        true => "; it asks for today's date, which was not given: give it, or set another template",
        false => "",
    };
    refused(format!("{message}{line}{hint}"))
}
