//! What a request may not be.

use super::MethodName;
use crate::options::OutOfRange;

/// Why a request can't be decoded as asked. Each names the setting and its bounds.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum DecodingError {
    /// A hyperparameter lies outside its range.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// A method that contrasts two prompts, without a preference to make the second.
    #[error("method {0} needs a preference (--prefer)")]
    NoPreference(MethodName),
    /// A preference without a text.
    #[error("the preference is empty: say how to answer, or leave it out")]
    EmptyPreference,
    /// A preference that may end in a weight, or not.
    #[error(
        "in the preference `{text}:{number}`, {number} may be a weight or text: write `{text};weight=NUMBER` for a weight (a \
         plain number from -1000 to 1000, such as 1.5), and `{text}\\:{number}` where it is text"
    )]
    UnclearWeight {
        /// What stands before the colon.
        text: String,
        /// What stands after it.
        number: String,
    },
    /// A text that would end every answer at once.
    #[error("a stop text must not be empty")]
    EmptyStop,
    /// Plain prompts with a method that contrasts two, or beside conversations.
    #[error("plain prompts go with the method base alone, and without conversations")]
    PlainPrompts,
    /// Guidance without a stream.
    #[error(
        "method guidance needs streams: give --stream, or --prefer PREFERENCE:WEIGHT, at least once"
    )]
    NoStreams,
    /// A strength that follows two prompts' disagreement, with more of them.
    #[error(
        "adaptive jsd compares two prompts, and there are {0}: leave --adaptive out, or lean on one preference"
    )]
    AdaptiveStreams(usize),
    /// Two streams of one name.
    #[error("two streams are called {0:?}: give each a name of its own")]
    SameName(String),
    /// There are no logits at all.
    #[error("there are no logits: give at least one")]
    NoLogits,
    /// The two sets of logits have different shapes.
    #[error("base has {base} logits and pref has {pref}: both must cover the same vocabulary")]
    VocabularyMismatch {
        /// Number of base logits.
        base: usize,
        /// Number of pref logits.
        pref: usize,
    },
}
