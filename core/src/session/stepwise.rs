//! A model that is loaded a tensor a call, for a caller with something to do in between: the browser's worker.

use super::load::Parts;
use super::{Error, Session};
use crate::device::OpenDevice;
use crate::formats::gguf::StreamEvent;
use crate::formats::source::Source;
use std::fmt;

/// Loads a model from wherever it lies, as [`Session::load_source`] does, one tensor a call.
pub struct SourceLoader {
    source: Box<dyn Source>,
    parts: Parts,
    next: usize,
    done: u64,
}

impl SourceLoader {
    /// A loader of `source` onto `device`. Its header is checked, its tensors are not read yet.
    ///
    /// # Errors
    ///
    /// [`Error`] where it is no model we can run.
    pub fn new(source: Box<dyn Source>, device: &OpenDevice) -> Result<Self, Error> {
        let mut parts = Parts::new(device);
        parts.take(StreamEvent::Header(source.gguf()))?;
        Ok(Self {
            source,
            parts,
            next: 0,
            done: 0,
        })
    }

    /// Bytes of all its tensors.
    #[must_use]
    pub fn total(&self) -> u64 {
        let tensors = &self.source.gguf().tensors;
        tensors.iter().map(|info| info.bytes).sum()
    }

    /// Bytes of the tensors that are loaded.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.done
    }

    /// Loads the next tensor; false where there is none left.
    ///
    /// # Errors
    ///
    /// [`Error`] where it can't be read, or is none that the model has.
    pub fn step(&mut self) -> Result<bool, Error> {
        if self.next == self.source.gguf().tensors.len() {
            return Ok(false);
        }
        self.done += self.parts.tensor(&mut *self.source, self.next)?;
        self.next += 1;
        Ok(true)
    }

    /// The session, once every tensor is loaded.
    ///
    /// # Errors
    ///
    /// [`Error::Model`] where one is missing.
    pub fn finish(self) -> Result<Session, Error> {
        Session::new(self.parts)
    }
}

impl fmt::Debug for SourceLoader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceLoader")
            .field("next", &self.next)
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}
