//! Other models beside a session's own, for streams that they run.

use super::{Error, Session};

impl Session {
    /// Adds another model on the same device; gives the number by which a stream names it, from 1 on.
    ///
    /// # Errors
    ///
    /// [`Error::OtherVocabulary`] where its tokens are not this model's.
    pub fn attach(&mut self, other: Session) -> Result<usize, Error> {
        if let Some(difference) = self.vocabulary_difference(&other) {
            let model = other.model_name().unwrap_or("without a name").to_owned();
            return Err(Error::OtherVocabulary { model, difference });
        }
        self.companions.push(other);
        Ok(self.companions.len())
    }

    fn vocabulary_difference(&self, other: &Session) -> Option<String> {
        let sizes = [self, other].map(|session| session.decoder.config().vocab);
        if sizes[0] != sizes[1] {
            return Some(format!("{} tokens instead of {}", sizes[1], sizes[0]));
        }
        let piece = |session: &Session, id| session.text.tokenizer.piece(id);
        let ids = 0..sizes[0] as u32;
        let differs = |id: &u32| piece(self, *id) != piece(other, *id);
        let id = { ids }.find(differs)?;
        let name = |session| piece(session, id).unwrap_or_default();
        let (own, its) = (name(self), name(other));
        Some(format!("its token {id} is {its:?} instead of {own:?}"))
    }

    /// The model of number `index`: this one is 0.
    pub(super) fn model(&self, index: usize) -> Result<&Session, Error> {
        match index {
            0 => Ok(self),
            _ => self
                .companions
                .get(index - 1)
                .ok_or(Error::NoCompanion(index)),
        }
    }
}
