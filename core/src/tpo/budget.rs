//! Prompts that fit the model's context.

use super::prompts::{PromptName, PromptParts, Prompts};
use super::record::Shortened;
use super::{Error, Generator};
use crate::decoding::Conversation;
use crate::text::shorten;

/// A prompt that fits: its messages, and what was shortened for it or left out.
#[derive(Debug)]
pub(super) struct Fitted {
    pub input: (String, String),
    pub shortened: Vec<Shortened>,
}

/// What a prompt is made of and may be shortened; a preference is always whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Rejected,
    Critique,
    Feedback,
    Chosen,
    Query,
}

impl Part {
    const ALL: [Self; 5] = [
        Self::Rejected,
        Self::Critique,
        Self::Feedback,
        Self::Chosen,
        Self::Query,
    ];

    /// What templates call it.
    fn name(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Critique => "critique",
            Self::Feedback => "feedback",
            Self::Chosen => "chosen",
            Self::Query => "query",
        }
    }

    fn of(self, parts: &mut PromptParts) -> &mut String {
        match self {
            Self::Rejected => &mut parts.rejected,
            Self::Critique => &mut parts.critique,
            Self::Feedback => &mut parts.feedback,
            Self::Chosen => &mut parts.chosen,
            Self::Query => &mut parts.query,
        }
    }

    /// Those that a prompt can do without, the most dispensable first: what is improved is to be there whole, with the
    /// advice on it, as long as there is anything else to leave out.
    fn spare(prompt: PromptName) -> &'static [Self] {
        match prompt {
            PromptName::Improve => &[Self::Rejected, Self::Critique],
            PromptName::Feedback => &[Self::Rejected],
            PromptName::Compare | PromptName::Evaluate => &[],
        }
    }
}

/// Renders a prompt so that `room` tokens are left after it: what it can do without is left out, part by part, and then
/// its longest part is shortened at a sentence's end until it fits.
///
/// # Errors
///
/// [`Error::NoRoom`] where even an empty one does not, and what rendering and counting give.
pub(super) fn fit(
    generator: &impl Generator,
    prompts: &Prompts,
    name: PromptName,
    whole: &PromptParts,
    room: usize,
    prefix: &str,
) -> Result<Fitted, Error> {
    let most = generator.context().saturating_sub(room);
    let mut parts = whole.clone();
    let mut input = prompts.render(name, &parts)?;
    // A template need not use all there is.
    let mut used = Vec::with_capacity(Part::ALL.len());
    for part in Part::ALL {
        let mut without = whole.clone();
        part.of(&mut without).clear();
        if prompts.render(name, &without)? != input {
            used.push(part);
        }
    }
    let mut spare = Part::spare(name).iter().filter(|part| used.contains(part));
    while generator.count(&conversation(&input), prefix)? > most {
        match spare.next() {
            Some(part) => part.of(&mut parts).clear(),
            None => {
                let longest = used.iter().max_by_key(|part| part.of(&mut parts).len());
                let longest = longest.map(|part| part.of(&mut parts));
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
        input = prompts.render(name, &parts)?;
    }
    let mut whole = whole.clone();
    let shortened = used.into_iter().filter_map(|part| {
        let [from, to] = [&mut whole, &mut parts].map(|parts| part.of(parts).chars().count());
        (to < from).then(|| Shortened {
            part: part.name().to_owned(),
            from,
            to,
        })
    });
    Ok(Fitted {
        shortened: shortened.collect(),
        input,
    })
}

/// A prompt as a conversation.
pub(super) fn conversation((system, user): &(String, String)) -> Conversation {
    Conversation {
        system: Some(system.clone()),
        question: user.clone(),
        ..Conversation::default()
    }
}
