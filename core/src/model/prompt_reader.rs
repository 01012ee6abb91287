//! Prompts on their way into a cache, a chunk at a time.

use super::SharedCache;
use super::decoder::CHUNK;
use crate::kernels::PAGE;
use burn::tensor::Tensor;
use std::cmp::Reverse;

/// Tokens of prompts that go through the decoder at once.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    /// Those of all runs, one run after the other.
    pub tokens: Vec<u32>,
    /// Row and tokens of each run.
    pub runs: Vec<(usize, usize)>,
    /// Whose prompt ends, and at which of the tokens.
    pub ends: Vec<(usize, usize)>,
}

/// How a prompt begins.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Beginning {
    /// In a row of its own, which holds so many of its tokens: those of the pages that it shares with a row that was kept.
    Row(usize, usize),
    /// With so many tokens of an earlier prompt, all of them where both are equal.
    Earlier(usize, usize),
    /// With nothing.
    Nothing,
}

impl Beginning {
    /// Tokens that need not be computed.
    fn shared(self) -> usize {
        match self {
            Self::Row(_, tokens) | Self::Earlier(_, tokens) => tokens,
            Self::Nothing => 0,
        }
    }
}

/// Prompts that are read one after the other, each in a row. What they share is computed once: whole pages, equal prompts
/// altogether; and what a kept row holds, not at all.
#[derive(Debug)]
pub(crate) struct PromptReader {
    prompts: Vec<Vec<u32>>,
    beginnings: Vec<Beginning>,
    /// The row of each prompt that was begun.
    rows: Vec<usize>,
    /// Tokens of the last of them that are read, where it is under way.
    done: usize,
    /// The hidden state after each prompt that is read whole, `[1, width]`.
    last: Vec<Tensor<2>>,
}

impl PromptReader {
    /// None of `prompts` may be empty.
    pub fn new(prompts: Vec<Vec<u32>>) -> Self {
        let beginning = |place: usize| match shared_prefix(&prompts[..place], &prompts[place]) {
            (_, 0) => Beginning::Nothing,
            (from, tokens) => Beginning::Earlier(from, tokens),
        };
        Self {
            beginnings: (0..prompts.len()).map(beginning).collect(),
            rows: Vec::with_capacity(prompts.len()),
            done: 0,
            last: Vec::with_capacity(prompts.len()),
            prompts,
        }
    }

    /// Pages that the prompts take with `more` tokens behind each, of which each may go on as up to `forks` rows.
    pub fn pages(&self, more: usize, forks: usize) -> usize {
        let of_prompt = |(prompt, beginning): (&Vec<u32>, &Beginning)| {
            // A fork shares the prompt's whole pages.
            let fork = (prompt.len() % PAGE + more).div_ceil(PAGE);
            (prompt.len() + more).div_ceil(PAGE) - beginning.shared() / PAGE + (forks - 1) * fork
        };
        self.prompts
            .iter()
            .zip(&self.beginnings)
            .map(of_prompt)
            .sum()
    }

    /// Tokens of the longest prompt.
    pub fn longest(&self) -> usize {
        self.prompts.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// Before anything is read: prompts go on from kept rows where that saves more.
    pub fn recall(&mut self, cache: &mut SharedCache) {
        for (prompt, beginning) in self.prompts.iter().zip(&mut self.beginnings) {
            if let Some((row, tokens)) = cache.recall(prompt, beginning.shared()) {
                *beginning = Beginning::Row(row, tokens);
            }
        }
    }

    /// Each prompt's row, once it was begun.
    pub fn rows(&self) -> &[usize] {
        &self.rows
    }

    /// Tokens that were not to be computed.
    pub fn reused(&self) -> usize {
        self.beginnings.iter().map(|one| one.shared()).sum()
    }

    /// Tokens done and tokens in all, of those that are to be computed.
    pub fn progress(&self) -> (usize, usize) {
        let of = |from: usize| -> usize {
            let all = self.prompts.iter().zip(&self.beginnings).skip(from);
            all.map(|(prompt, one)| prompt.len() - one.shared()).sum()
        };
        let under_way = match self.rows.len() > self.last.len() {
            true => self.done - self.beginnings[self.last.len()].shared(),
            false => 0,
        };
        let total = of(0);
        (total - of(self.last.len()) + under_way, total)
    }

    /// Adds to a chunk what is next to be read, as the part of `whose`.
    pub fn fill(&mut self, whose: usize, chunk: &mut Chunk, cache: &mut SharedCache) {
        let mut place = self.last.len();
        while chunk.tokens.len() < CHUNK && place < self.prompts.len() {
            let prompt = &self.prompts[place];
            if self.rows.len() == place {
                let row = match self.beginnings[place] {
                    Beginning::Row(row, _) => row,
                    Beginning::Nothing => cache.add(),
                    // It is computed by a pass of its own first.
                    Beginning::Earlier(from, tokens)
                        if tokens == prompt.len() || cache.tokens(self.rows[from]) < tokens =>
                    {
                        return;
                    }
                    Beginning::Earlier(from, tokens) => cache.fork(self.rows[from], tokens),
                };
                self.rows.push(row);
                self.done = self.beginnings[place].shared();
            }
            let count = (CHUNK - chunk.tokens.len()).min(prompt.len() - self.done);
            let next = &prompt[self.done..self.done + count];
            chunk.tokens.extend_from_slice(next);
            chunk.runs.push((self.rows[place], count));
            self.done += count;
            if self.done == prompt.len() {
                chunk.ends.push((whose, chunk.tokens.len() - 1));
                place += 1;
            }
        }
    }

    /// A chunk was computed: `ends` are the hidden states after the prompts that end in it, in order.
    pub fn take(&mut self, ends: impl Iterator<Item = Tensor<2>>, cache: &mut SharedCache) {
        self.last.extend(ends);
        while let Some(&Beginning::Earlier(from, tokens)) = self.beginnings.get(self.last.len())
            && tokens == self.prompts[self.last.len()].len()
        {
            self.rows.push(cache.fork(self.rows[from], tokens));
            self.last.push(self.last[from].clone());
        }
    }

    /// The hidden states after all prompts, `[prompts, width]`, once they are read.
    pub fn hidden(&self) -> Option<Tensor<2>> {
        (self.last.len() == self.prompts.len()).then(|| Tensor::cat(self.last.clone(), 0))
    }

    /// The row of the prompt at `place` is done, with these tokens after the prompt.
    pub fn end(&self, place: usize, tokens: &[u32], cache: &mut SharedCache) {
        let begun = self.rows.get(place).copied();
        let row = begun.or(match self.beginnings[place] {
            Beginning::Row(row, _) => Some(row),
            _ => None,
        });
        if let Some(row) = row {
            cache.end(row, [&self.prompts[place], tokens].concat());
        }
    }
}

/// The earlier prompt with which `prompt` shares most whole pages, and the tokens of these, fewer than all; of an equal
/// one all its tokens.
fn shared_prefix(earlier: &[Vec<u32>], prompt: &[u32]) -> (usize, usize) {
    let alike = |other: &Vec<u32>| match other == prompt {
        true => prompt.len(),
        false => whole_pages(other, prompt),
    };
    earlier
        .iter()
        .enumerate()
        .map(|(place, other)| (place, alike(other)))
        .max_by_key(|(place, tokens)| (*tokens, Reverse(*place)))
        .unwrap_or((0, 0))
}

/// Tokens of the whole pages with which both begin, fewer than `prompt` has.
pub(super) fn whole_pages(other: &[u32], prompt: &[u32]) -> usize {
    let same = other.iter().zip(prompt).take_while(|(a, b)| a == b).count();
    same.min(prompt.len().saturating_sub(1)) / PAGE * PAGE
}
