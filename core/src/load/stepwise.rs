//! A model that is loaded a tensor a call, for a caller with something to do in between: the browser's worker.

use super::{LoadError, Model, Parts};
use crate::device::OpenDevice;
use crate::formats::gguf::StreamEvent;
use crate::formats::source::Source;
use std::fmt;

/// Loads a model from wherever it lies, one tensor a call; [`super::load`] makes all calls at once.
pub struct SourceLoader<S> {
    source: S,
    parts: Parts,
    next: usize,
    done: u64,
}

impl<S: Source> SourceLoader<S> {
    /// A loader of `source` onto `device`. Its header is checked, its tensors are not read yet.
    ///
    /// # Errors
    ///
    /// [`LoadError`] where it is no model we can run.
    pub fn new(source: S, device: &OpenDevice) -> Result<Self, LoadError> {
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
    /// [`LoadError`] where it can't be read, or is none that the model has.
    pub fn step(&mut self) -> Result<bool, LoadError> {
        if self.next == self.source.gguf().tensors.len() {
            return Ok(false);
        }
        let bytes = self.source.read(self.next)?;
        let gguf = self.source.gguf();
        let info = &gguf.tensors[self.next];
        self.parts.take(StreamEvent::Tensor(gguf, info, &bytes))?;
        self.done += info.bytes;
        self.next += 1;
        Ok(true)
    }

    /// The model, once every tensor is loaded.
    ///
    /// # Errors
    ///
    /// [`LoadError::Model`] where one is missing.
    pub fn finish(self) -> Result<Model, LoadError> {
        self.parts.finish()
    }
}

impl<S> fmt::Debug for SourceLoader<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceLoader")
            .field("next", &self.next)
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}
