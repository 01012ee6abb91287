//! One cache for all requests that a model meets: rows come and go, and those that are done stay as long as there is room, so
//! that what begins as they do goes on from their pages.

use super::{Decoder, KvCache, KvType, Logits, ModelError};
use crate::kernels::PAGE;
use burn::tensor::{Int, Tensor};

/// A row that nobody goes on with, and the tokens that it holds.
#[derive(Debug)]
struct Kept {
    row: usize,
    ids: Vec<u32>,
}

/// A decoder with the rows of all requests. Rows have numbers, which are used again.
#[derive(Debug)]
pub struct SharedCache<'a> {
    decoder: &'a Decoder,
    cache: KvCache,
    pages: usize,
    /// Least recently used first.
    kept: Vec<Kept>,
    /// Numbers of rows that are empty.
    empty: Vec<usize>,
}

impl<'a> SharedCache<'a> {
    /// A cache of `bytes` bytes at most, and of at least one page.
    ///
    /// # Errors
    ///
    /// As [`KvCache`]'s own.
    pub fn new(decoder: &'a Decoder, kv: KvType, bytes: u64) -> Result<Self, ModelError> {
        let config = decoder.config();
        let most = KvCache::most_pages(config, kv, &decoder.device);
        let wanted = bytes / KvCache::row_bytes(config, kv, 1).max(1);
        let pages = usize::try_from(wanted).unwrap_or(usize::MAX).clamp(1, most);
        Ok(Self {
            cache: KvCache::new(config, kv, pages, config.context, &decoder.device)?,
            decoder,
            pages,
            kept: Vec::new(),
            empty: Vec::new(),
        })
    }

    /// Pages of 64 tokens.
    #[must_use]
    pub fn pages(&self) -> usize {
        self.pages
    }

    /// A row for `prompt`, and how many of its tokens it holds already: those of the whole pages that it shares with a row
    /// that is done, or with one of `others` (row, prompt) as far as that was read; never all of them.
    pub fn begin(&mut self, prompt: &[u32], others: &[(usize, &[u32])]) -> (usize, usize) {
        let alike = |row: usize, ids: &[u32]| {
            let same = ids.iter().zip(prompt).take_while(|(a, b)| a == b).count();
            let there = same.min(self.cache.tokens(row));
            there.min(prompt.len().saturating_sub(1)) / PAGE * PAGE
        };
        let of_kept = self.kept.iter().enumerate();
        let of_kept = of_kept.map(|(at, kept)| (alike(kept.row, &kept.ids), kept.row, Some(at)));
        let of_others = others
            .iter()
            .map(|(row, ids)| (alike(*row, ids), *row, None));
        let best = of_kept.chain(of_others).max_by_key(|(shared, ..)| *shared);
        match best {
            Some((shared @ 1.., row, at)) => {
                if let Some(at) = at {
                    let used = self.kept.remove(at);
                    self.kept.push(used);
                }
                (self.fork(row, shared), shared)
            }
            _ => (self.empty_row(), 0),
        }
    }

    /// A row that begins with the first `tokens` of `row`.
    pub fn fork(&mut self, row: usize, tokens: usize) -> usize {
        let into = self.empty_row();
        self.cache.fork_into(into, row, tokens);
        into
    }

    fn empty_row(&mut self) -> usize {
        self.empty.pop().unwrap_or_else(|| self.cache.add())
    }

    /// Reads more tokens of prompts: `tokens` holds those of all `runs` (row, tokens), one after the other. Gives the hidden
    /// state after each, `[tokens, width]`.
    ///
    /// # Errors
    ///
    /// [`ModelError::BadToken`], or [`ModelError::CacheFull`] where the rows that are not done fill the cache.
    pub fn read(
        &mut self,
        tokens: &[u32],
        runs: &[(usize, usize)],
    ) -> Result<Tensor<2>, ModelError> {
        self.decoder.check(tokens)?;
        self.make_room(runs);
        let ids = self.decoder.ids(tokens);
        let queries = self.decoder.queries();
        self.decoder.forward(ids, runs, queries, &mut self.cache)
    }

    /// The logits after hidden states.
    #[must_use]
    pub fn logits(&self, hidden: Tensor<2>) -> Logits {
        self.decoder.logits(hidden)
    }

    /// As [`Decoder::step_rows`].
    ///
    /// # Errors
    ///
    /// As [`SharedCache::read`].
    pub fn step(&mut self, tokens: Tensor<1, Int>, rows: &[usize]) -> Result<Logits, ModelError> {
        let runs: Vec<(usize, usize)> = rows.iter().map(|row| (*row, 1)).collect();
        self.make_room(&runs);
        self.decoder.step_rows(tokens, rows, &mut self.cache)
    }

    /// A row is done: it held these tokens, and perhaps more, that nobody wants.
    pub fn end(&mut self, row: usize, mut ids: Vec<u32>) {
        ids.truncate(self.cache.tokens(row));
        // What is shorter than a page is of no use to others.
        if ids.len() < PAGE {
            return self.release(row);
        }
        self.kept.push(Kept { row, ids });
    }

    fn release(&mut self, row: usize) {
        self.cache.release(row);
        self.empty.push(row);
    }

    /// Gives rows up that are done until the runs' tokens fit, where that can be.
    fn make_room(&mut self, runs: &[(usize, usize)]) {
        while self.cache.growth(runs) > self.cache.free_pages() && !self.kept.is_empty() {
            let oldest = self.kept.remove(0);
            self.release(oldest.row);
        }
    }
}
