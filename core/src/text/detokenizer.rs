//! Token ids to text, one at a time.

use super::{TextError, Tokenizer};

/// Text of a growing answer. A token may end in the middle of a UTF-8 character: those bytes wait
/// for the tokens that complete it. Control tokens add nothing. All pieces together, `finish`
/// included, are the lossy UTF-8 of the ordinary tokens' bytes, without the space in front that a
/// `llama` vocabulary puts there.
#[derive(Debug, Clone)]
pub struct DetokenizeStream<'t> {
    tokenizer: &'t Tokenizer,
    /// An incomplete character: at most three bytes.
    pending: Vec<u8>,
    /// Whether a space now is the one that the text begins without.
    at_start: bool,
}

impl<'t> DetokenizeStream<'t> {
    pub(super) fn new(tokenizer: &'t Tokenizer) -> Self {
        Self {
            tokenizer,
            pending: Vec::new(),
            at_start: tokenizer.drops_first_space(),
        }
    }

    /// The text that `id` completes; empty if it completes none. Bytes that can never become a
    /// character give U+FFFD.
    ///
    /// # Errors
    /// [`TextError::UnknownId`]; the stream is as it was before.
    pub fn push(&mut self, id: u32) -> Result<String, TextError> {
        let bytes = self.tokenizer.known_bytes(id)?;
        let mut text = String::new();
        if self.tokenizer.is_control(id) {
            return Ok(text);
        }
        let mut bytes = &bytes[..];
        if self.at_start && !bytes.is_empty() {
            bytes = bytes.strip_prefix(b" ").unwrap_or(bytes);
            self.at_start = false;
        }
        self.pending.extend_from_slice(bytes);
        let mut rest = self.pending.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(valid) => {
                    text.push_str(valid);
                    rest = &[];
                    break;
                }
                Err(error) => {
                    let (valid, after) = rest.split_at(error.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(valid));
                    rest = after;
                    let Some(broken) = error.error_len() else {
                        break;
                    };
                    text.push('\u{fffd}');
                    rest = &rest[broken..];
                }
            }
        }
        self.pending = rest.to_vec();
        Ok(text)
    }

    /// What is left: U+FFFD if the last character is incomplete, else nothing.
    #[must_use]
    pub fn finish(self) -> String {
        String::from_utf8_lossy(&self.pending).into_owned()
    }
}
