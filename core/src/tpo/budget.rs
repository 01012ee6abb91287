//! Prompts that fit the model's context.

use super::prompts::{PromptName, PromptParts, Prompts};
use super::record::Shortened;
use super::{Error, Generator};
use crate::decoding::Conversation;
use crate::text::shorten;

/// A prompt that fits: its messages, and what was shortened for it.
#[derive(Debug)]
pub(super) struct Fitted {
    pub input: (String, String),
    pub shortened: Vec<Shortened>,
}

/// Renders a prompt and shortens its longest part, at a sentence's end, until `room` tokens are left after it.
pub(super) fn fit(
    generator: &impl Generator,
    prompts: &Prompts,
    name: PromptName,
    mut parts: PromptParts,
    room: usize,
    prefix: &str,
) -> Result<Fitted, Error> {
    let most = generator.context().saturating_sub(room);
    let before = parts.clone();
    loop {
        let input = prompts.render(name, &parts)?;
        let tokens = generator.count(&conversation(&input), prefix)?;
        if tokens <= most {
            let shortened = names(&before)
                .into_iter()
                .zip(names(&parts))
                .filter(|((_, from), (_, to))| from.len() != to.len())
                .map(|((part, from), (_, to))| Shortened {
                    part: part.to_owned(),
                    from: from.chars().count(),
                    to: to.chars().count(),
                })
                .collect();
            return Ok(Fitted { input, shortened });
        }
        let all = [
            &mut parts.rejected,
            &mut parts.critique,
            &mut parts.feedback,
            &mut parts.chosen,
            &mut parts.query,
        ];
        let longest = all.into_iter().max_by_key(|part| part.len());
        let Some(longest) = longest.filter(|part| !part.is_empty()) else {
            return Err(Error::NoRoom {
                name: name.name(),
                context: generator.context(),
                room,
            });
        };
        // A tenth at a time, and as much more as to the sentence's beginning.
        let target = longest.chars().count() * 9 / 10;
        *longest = shorten(longest, target);
    }
}

/// A prompt as a conversation.
pub(super) fn conversation((system, user): &(String, String)) -> Conversation {
    Conversation {
        system: Some(system.clone()),
        question: user.clone(),
        ..Conversation::default()
    }
}

fn names(parts: &PromptParts) -> [(&'static str, &str); 5] {
    [
        ("rejected", &parts.rejected),
        ("critique", &parts.critique),
        ("feedback", &parts.feedback),
        ("chosen", &parts.chosen),
        ("query", &parts.query),
    ]
}
