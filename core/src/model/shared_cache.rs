//! A cache whose rows come and go: those that are done stay as long as there is room, so that what begins as they do goes on
//! from their pages.

use super::prompt_reader::whole_pages;
use super::{Decoder, KvCache, KvType, Logits, ModelError, PromptReader};
use crate::kernels::PAGE;
use burn::tensor::{Int, Tensor};

/// A row that nobody goes on with, and the tokens that it holds.
#[derive(Debug)]
struct Kept {
    row: usize,
    ids: Vec<u32>,
}

/// The rows of a decoder's requests. They have numbers, which are used again.
#[derive(Debug)]
pub(crate) struct SharedCache {
    cache: KvCache,
    /// As far as it may grow.
    most: usize,
    /// Least recently used first.
    kept: Vec<Kept>,
    /// Numbers of rows that are empty.
    empty: Vec<usize>,
}

impl SharedCache {
    /// An empty cache, which may grow to `pages` pages of 64 tokens, as far as a layer can hold them.
    ///
    /// # Errors
    ///
    /// As [`KvCache`]'s own.
    pub fn new(decoder: &Decoder, kv: KvType, pages: usize) -> Result<Self, ModelError> {
        Ok(Self {
            cache: KvCache::new(decoder.config(), kv, 0, 0, &decoder.device)?,
            most: pages,
            kept: Vec::new(),
            empty: Vec::new(),
        })
    }

    /// Pages that so many bytes hold, and a layer.
    pub fn pages_in(decoder: &Decoder, kv: KvType, bytes: u64) -> usize {
        let config = decoder.config();
        let pages = bytes / KvCache::row_bytes(config, kv, 1).max(1);
        let most = KvCache::most_pages(config, kv, &decoder.device);
        usize::try_from(pages).unwrap_or(usize::MAX).min(most)
    }

    /// The cache alone, with the rows that it has.
    pub(super) fn into_cache(self) -> KvCache {
        self.cache
    }

    /// Pages of 64 tokens that it may have.
    pub fn most_pages(&self) -> usize {
        self.most
    }

    /// Pages that hold something.
    pub fn pages(&self) -> usize {
        self.cache.pages() - self.cache.free_pages()
    }

    /// Rows that are neither done nor empty.
    pub fn rows_under_way(&self) -> usize {
        self.cache.rows() - self.kept.len() - self.empty.len()
    }

    /// Whether rows are stored as `kv`.
    pub fn is(&self, kv: KvType) -> bool {
        self.cache.is(kv)
    }

    /// Takes prompts up, with `more` tokens behind each, of which each may go on as up to `forks` rows: they go on from kept
    /// rows where they can, and the cache grows for them as far as it may.
    ///
    /// # Errors
    ///
    /// [`ModelError::CacheTooLarge`] where a layer can't hold them.
    pub fn admit(
        &mut self,
        decoder: &Decoder,
        reader: &mut PromptReader,
        more: usize,
        forks: usize,
    ) -> Result<(), ModelError> {
        let pages = reader.pages(more, forks);
        reader.recall(self);
        self.reserve(decoder, pages, reader.longest() + more)
    }

    /// Makes room for `pages` more pages and for rows of `tokens` tokens, where it may grow so far.
    fn reserve(
        &mut self,
        decoder: &Decoder,
        pages: usize,
        tokens: usize,
    ) -> Result<(), ModelError> {
        let (all, free) = (self.cache.pages(), self.cache.free_pages());
        let pages = (all + pages.saturating_sub(free)).min(self.most);
        self.cache.grow(decoder.config(), pages, tokens)
    }

    /// A new row that begins with what a kept one shares with `prompt`: whole pages, more than `better_than` tokens, and fewer
    /// than all. Gives its number and these tokens.
    pub(super) fn recall(&mut self, prompt: &[u32], better_than: usize) -> Option<(usize, usize)> {
        let kept = self.kept.iter().enumerate();
        let alike = kept.map(|(at, kept)| (whole_pages(&kept.ids, prompt), at));
        let (tokens, at) = alike.max()?;
        if tokens <= better_than {
            return None;
        }
        let used = self.kept.remove(at);
        let row = self.fork(used.row, tokens);
        self.kept.push(used);
        Some((row, tokens))
    }

    /// A row that begins with the first `tokens` of `row`.
    pub(super) fn fork(&mut self, row: usize, tokens: usize) -> usize {
        let into = self.add();
        self.cache.fork_into(into, row, tokens);
        into
    }

    /// A new, empty row.
    pub(super) fn add(&mut self) -> usize {
        self.empty.pop().unwrap_or_else(|| self.cache.add())
    }

    /// Tokens of a row.
    pub(super) fn tokens(&self, row: usize) -> usize {
        self.cache.tokens(row)
    }

    /// Reads more tokens of prompts: `tokens` holds those of all `runs` (row, tokens), one after the other. Gives the hidden
    /// state after each, `[tokens, width]`.
    ///
    /// # Errors
    ///
    /// [`ModelError::CacheFull`] where the rows that are not done fill the cache.
    pub fn read(
        &mut self,
        decoder: &Decoder,
        tokens: &[u32],
        runs: &[(usize, usize)],
    ) -> Result<Tensor<2>, ModelError> {
        self.make_room(decoder, runs)?;
        let ids = decoder.ids(tokens);
        decoder.forward(ids, runs, decoder.queries(), &mut self.cache)
    }

    /// As [`Decoder::step_rows`].
    ///
    /// # Errors
    ///
    /// As [`SharedCache::read`].
    pub fn step(
        &mut self,
        decoder: &Decoder,
        tokens: Tensor<1, Int>,
        rows: &[usize],
    ) -> Result<Logits, ModelError> {
        let runs: Vec<(usize, usize)> = rows.iter().map(|row| (*row, 1)).collect();
        self.make_room(decoder, &runs)?;
        decoder.step_rows(tokens, rows, &mut self.cache)
    }

    /// A row is done: it held these tokens, and perhaps more, that nobody wants.
    pub fn end(&mut self, row: usize, mut ids: Vec<u32>) {
        ids.truncate(self.cache.tokens(row));
        // What is shorter than a page is of no use to others, nor is what another one holds.
        let holds = |kept: &Kept| kept.ids.starts_with(&ids);
        if ids.len() < PAGE || self.kept.iter().any(holds) {
            return self.release(row);
        }
        self.kept.push(Kept { row, ids });
    }

    /// Gives up all rows that are done.
    pub fn forget(&mut self) {
        for kept in std::mem::take(&mut self.kept) {
            self.release(kept.row);
        }
    }

    fn release(&mut self, row: usize) {
        self.cache.release(row);
        self.empty.push(row);
    }

    /// Grows, or gives rows up that are done, until the runs' tokens fit, where that can be.
    fn make_room(&mut self, decoder: &Decoder, runs: &[(usize, usize)]) -> Result<(), ModelError> {
        let pages = self.cache.growth(runs);
        let ends = runs.iter().map(|(row, count)| self.tokens(*row) + count);
        let longest = ends.max().unwrap_or(0);
        self.reserve(decoder, pages, longest)?;
        while pages > self.cache.free_pages() && !self.kept.is_empty() {
            let oldest = self.kept.remove(0);
            self.release(oldest.row);
        }
        Ok(())
    }
}
