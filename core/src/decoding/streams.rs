//! A question and a preference become prompts, one a stream.

use super::PromptSet;
use crate::text::{Message, Role};

/// Where a system prompt takes the preference.
const PLACEHOLDER: &str = "{preference}";

/// One prompt of those whose logits are weighed against each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Stream {
    /// What it is called in reports; `base` and `pref` in the methods with two prompts.
    pub name: String,
    /// A system prompt of its own, in place of the conversation's.
    pub system: Option<String>,
    /// The preference it is given.
    pub preference: StreamPreference,
    /// Its weight, where the method takes weights from the streams.
    pub weight: f64,
    /// The model that runs it: 0 for the session's own, else what `Session::attach` gave.
    pub model: usize,
}

/// The preference of one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamPreference {
    /// None.
    None,
    /// The conversation's own.
    Conversation,
    /// This one, as [`PromptSet::instruction`] gives it.
    Text(String),
}

impl Stream {
    /// The prompt without the preference.
    #[must_use]
    pub fn base() -> Self {
        Self {
            name: "base".to_owned(),
            system: None,
            preference: StreamPreference::None,
            weight: 1.0,
            model: 0,
        }
    }

    /// The prompt with the conversation's preference.
    #[must_use]
    pub fn pref() -> Self {
        Self {
            name: "pref".to_owned(),
            preference: StreamPreference::Conversation,
            ..Self::base()
        }
    }
}

/// The streams of several preferences with weights, base first: `base + sum_i weight_i (pref_i - base)`. They are called
/// `pref`, or `pref1`, `pref2` and so on.
#[must_use]
pub fn preference_streams(set: PromptSet, preferences: &[(&str, f64)]) -> Vec<Stream> {
    let mut streams = vec![Stream::base()];
    for (index, (text, weight)) in preferences.iter().enumerate() {
        streams[0].weight -= weight;
        streams.push(Stream {
            name: match preferences.len() {
                1 => "pref".to_owned(),
                _ => format!("pref{}", index + 1),
            },
            preference: StreamPreference::Text(set.instruction(text)),
            weight: *weight,
            ..Stream::base()
        });
    }
    streams
}

/// What a user asks, and how they'd like it answered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Conversation {
    /// The system prompt; `None` leaves it to the model's template, or is empty where there is a preference. See
    /// [`PromptSet::system_or`].
    pub system: Option<String>,
    /// The preference, as [`PromptSet::instruction`] gives it.
    pub preference: Option<String>,
    /// What was said before the question.
    pub earlier: Vec<Message>,
    /// The question.
    pub question: String,
}

impl Conversation {
    /// The messages of one stream. Without a preference anywhere, every stream is the same prompt.
    #[must_use]
    pub fn messages(&self, stream: &Stream) -> Vec<Message> {
        let own = stream.system.as_ref().or(self.system.as_ref());
        let preference = match (&stream.preference, &self.preference) {
            (StreamPreference::Text(text), _) => Some(text.as_str()),
            (StreamPreference::Conversation, preference) => preference.as_deref(),
            (StreamPreference::None, Some(_)) => Some(""),
            (StreamPreference::None, None) => None,
        };
        let system = match preference {
            None => own.cloned(),
            Some(preference) => Some(with_preference(own.map_or("", String::as_str), preference)),
        };
        let mut messages = Vec::with_capacity(2 + self.earlier.len());
        if let Some(content) = system {
            messages.push(Message {
                role: Role::System,
                content,
            });
        }
        messages.extend_from_slice(&self.earlier);
        messages.push(Message {
            role: Role::User,
            content: self.question.clone(),
        });
        messages
    }
}

/// Whether messages are turns of a user and an assistant, as [`Conversation::earlier`] must be.
#[must_use]
pub fn in_turns(messages: &[Message]) -> bool {
    messages.chunks(2).all(|turn| {
        let roles = turn.iter().map(|message| message.role);
        roles.eq([Role::User, Role::Assistant])
    })
}

/// The system prompt with its placeholder replaced, or the preference appended where there is no placeholder.
fn with_preference(system: &str, preference: &str) -> String {
    if system.contains(PLACEHOLDER) {
        return system.replace(PLACEHOLDER, preference);
    }
    match (system, preference) {
        ("", preference) => preference.to_owned(),
        (system, "") => system.to_owned(),
        (system, preference) => format!("{system} {preference}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system(conversation: &Conversation, stream: &Stream) -> Option<String> {
        let messages = conversation.messages(stream);
        (messages.len() == 2).then(|| messages[0].content.clone())
    }

    #[test]
    fn without_a_preference_nothing_is_added() {
        let conversation = Conversation {
            question: "Why?".to_owned(),
            ..Conversation::default()
        };
        assert_eq!(system(&conversation, &Stream::base()), None);
        assert_eq!(system(&conversation, &Stream::pref()), None);
    }

    #[test]
    fn earlier_turns_stand_between_system_prompt_and_question() {
        let turn = |role, content: &str| Message {
            role,
            content: content.to_owned(),
        };
        let conversation = Conversation {
            system: Some("S".to_owned()),
            preference: Some("P".to_owned()),
            earlier: vec![turn(Role::User, "a"), turn(Role::Assistant, "b")],
            question: "c".to_owned(),
        };
        let messages = conversation.messages(&Stream::pref());
        let contents: Vec<&str> = messages.iter().map(|m| m.content.as_str()).collect();
        assert_eq!(contents, ["S P", "a", "b", "c"]);
    }

    #[test]
    fn the_papers_prompt_keeps_its_trailing_space_in_base() {
        let conversation = Conversation {
            system: PromptSet::Paper.system_or(None, true),
            preference: Some("Be brief, please.".to_owned()),
            ..Conversation::default()
        };
        let base = system(&conversation, &Stream::base()).unwrap_or_default();
        assert!(base.ends_with("user-friendly advice. "), "{base:?}");
        let pref = system(&conversation, &Stream::pref()).unwrap_or_default();
        assert!(pref.ends_with("advice. Be brief, please."), "{pref:?}");
    }

    #[test]
    fn a_system_prompt_of_ones_own_takes_the_preference_in_place_or_at_its_end() {
        let mut conversation = Conversation {
            system: Some("A {preference} B".to_owned()),
            preference: Some("P".to_owned()),
            ..Conversation::default()
        };
        assert_eq!(
            system(&conversation, &Stream::pref()).as_deref(),
            Some("A P B")
        );
        assert_eq!(
            system(&conversation, &Stream::base()).as_deref(),
            Some("A  B")
        );
        conversation.system = Some("A".to_owned());
        assert_eq!(
            system(&conversation, &Stream::pref()).as_deref(),
            Some("A P")
        );
        assert_eq!(system(&conversation, &Stream::base()).as_deref(), Some("A"));
    }
}
