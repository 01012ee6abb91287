//! How much a rendering may still do.

use super::{Error, Limits, Result};

/// Bytes that a value costs beside its text.
pub(super) const VALUE_COST: usize = 32;
/// Elements of a container.
const MAX_ITEMS: usize = 200_000;

pub(super) struct Fuel {
    steps: u64,
    bytes: u64,
    value: usize,
}

impl Fuel {
    pub(super) fn new(limits: &Limits<'_>) -> Self {
        Self {
            steps: limits.steps,
            bytes: limits.bytes,
            value: limits.value,
        }
    }

    /// Bytes of the largest value.
    pub(super) fn largest(&self) -> usize {
        self.value
    }

    /// One expression or statement.
    pub(super) fn step(&mut self) -> Result<()> {
        self.steps = (self.steps.checked_sub(1)).ok_or_else(|| Error::new("it runs too long"))?;
        Ok(())
    }

    /// Bytes that are read.
    pub(super) fn read(&mut self, bytes: usize) -> Result<()> {
        let left = self.bytes.checked_sub(bytes as u64);
        self.bytes = left.ok_or_else(|| Error::new("it works through too much text"))?;
        Ok(())
    }

    /// A text of so many bytes that is about to be made.
    pub(super) fn text(&mut self, bytes: usize) -> Result<()> {
        self.grow(0, bytes)
    }

    /// A text of `length` bytes that gets `more`.
    pub(super) fn grow(&mut self, length: usize, more: usize) -> Result<()> {
        if length.saturating_add(more) > self.value {
            return Err(Error::new("it makes too large a value"));
        }
        self.read(more)
    }

    /// A container of so many elements that is about to be made.
    pub(super) fn items(&mut self, count: usize) -> Result<()> {
        if count > MAX_ITEMS {
            return Err(Error::new("it makes too large a value"));
        }
        self.read(count * VALUE_COST)
    }

    /// A search for `needle` bytes in `haystack` bytes.
    pub(super) fn search(&mut self, haystack: usize, needle: usize) -> Result<()> {
        self.read(haystack.saturating_add(needle))
    }
}
