//! Many rows of given tokens through the decoder once, to see what it thinks of them: their tokens'
//! log-probabilities, or the logits after them.
//!
//! Rows are taken in the order of their tokens, so that what begins alike stands side by side: each goes on from the
//! whole pages it shares with the row before it, and that row's pages are given up once this one has begun. A pass
//! takes tokens of several rows where they fit.

use super::decoder::CHUNK;
use super::pages::{Pages, Row};
use super::{Decoder, KvCache, KvType, Logits, ModelError};
use crate::kernels::{PAGE, sampling};
use burn::tensor::Tensor;
use std::ops::Range;

/// Logits of so many tokens are held at once.
const AT_ONCE: usize = 64;

/// A row, and the positions whose hidden states are wanted: the last of them ends what is computed.
struct Wanted<'a> {
    ids: &'a [u32],
    positions: Range<usize>,
}

/// One pass: runs of (row in the plan's order, first position, tokens). The rows before `keep` are given up after it.
struct Pass {
    runs: Vec<(usize, usize, usize)>,
    keep: usize,
}

/// How rows go through the decoder.
struct Plan {
    /// The rows in the order in which they are taken.
    order: Vec<usize>,
    /// Tokens that each shares with the one before it.
    shared: Vec<usize>,
    passes: Vec<Pass>,
    /// The most pages that are held at once.
    pages: usize,
}

impl Plan {
    /// `mixed` lets a pass take tokens of several rows, whose pages are then held at once.
    fn new(rows: &[Wanted<'_>], mixed: bool) -> Result<Self, ModelError> {
        let tokens = |row: usize| &rows[row].ids[..rows[row].positions.end];
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by_key(|row| tokens(*row));
        let mut shared = vec![0; rows.len()];
        for at in 1..order.len() {
            let (before, row) = (tokens(order[at - 1]), order[at]);
            let alike = before.iter().zip(tokens(row)).take_while(|(a, b)| a == b);
            // What is wanted is computed anew.
            shared[at] = alike.count().min(rows[row].positions.start) / PAGE * PAGE;
        }
        let mut plan = Self {
            order,
            shared,
            passes: Vec::new(),
            pages: 0,
        };
        plan.fill(rows, mixed);
        plan.pages = plan.peak()?;
        Ok(plan)
    }

    fn fill(&mut self, rows: &[Wanted<'_>], mixed: bool) {
        let mut runs: Vec<(usize, usize, usize)> = Vec::new();
        let mut room = CHUNK;
        let close = |runs: &mut Vec<(usize, usize, usize)>, passes: &mut Vec<Pass>| {
            if let Some((keep, ..)) = runs.last().copied() {
                let runs = std::mem::take(runs);
                passes.push(Pass { runs, keep });
            }
            CHUNK
        };
        for (at, row) in self.order.iter().enumerate() {
            let (mut start, end) = (self.shared[at], rows[*row].positions.end);
            // What it shares is computed by a pass of its own first.
            let under_way = runs
                .iter()
                .any(|(other, from, _)| other + 1 == at && *from < start);
            if under_way || !mixed {
                room = close(&mut runs, &mut self.passes);
            }
            while start < end {
                if room == 0 {
                    room = close(&mut runs, &mut self.passes);
                }
                let count = room.min(end - start);
                runs.push((at, start, count));
                start += count;
                room -= count;
            }
        }
        close(&mut runs, &mut self.passes);
    }

    /// Goes through the passes without computing anything.
    fn peak(&self) -> Result<usize, ModelError> {
        let all = self.passes.iter().flat_map(|pass| &pass.runs);
        let total = all
            .map(|(_, start, count)| (start + count).div_ceil(PAGE) - start / PAGE)
            .sum();
        let mut pages = Pages::new(total);
        let mut rows: Vec<Row> = Vec::new();
        let (mut peak, mut released) = (0, 0);
        for pass in &self.passes {
            for &(at, _, count) in &pass.runs {
                if rows.len() == at {
                    rows.push(match self.shared[at] {
                        0 => Row::default(),
                        shared => pages.fork(&rows[at - 1], shared),
                    });
                }
                pages.grow(&mut rows[at], count)?;
            }
            peak = peak.max(total - pages.free());
            for row in &mut rows[released..pass.keep] {
                pages.release(std::mem::take(row));
            }
            released = pass.keep;
        }
        Ok(peak)
    }
}

/// Takes hidden states `[states, width]`, and the row and the position of each.
type Each<'a> = dyn FnMut(Tensor<2>, &[(usize, usize)]) + 'a;

impl Decoder {
    /// Runs all rows and gives their wanted hidden states to `each`, up to [`AT_ONCE`] at a time, `[states, width]`,
    /// with the row and the position of every one. Gives the order in which the rows came; a row's positions come in order.
    fn sweep(
        &self,
        rows: &[Wanted<'_>],
        kv: KvType,
        each: &mut Each<'_>,
    ) -> Result<Vec<usize>, ModelError> {
        let context = self.config.context;
        for row in rows {
            if row.positions.is_empty() {
                return Err(ModelError::EmptyPrompt);
            }
            if row.ids.len() > context {
                let prompt = row.ids.len();
                return Err(ModelError::ContextFull { prompt, context });
            }
            self.check(row.ids)?;
        }
        let mut plan = Plan::new(rows, true)?;
        if plan.pages > KvCache::most_pages(&self.config, kv, &self.device) {
            plan = Plan::new(rows, false)?;
        }
        let longest = rows.iter().map(|row| row.positions.end).max().unwrap_or(0);
        let mut cache = KvCache::new(&self.config, kv, plan.pages, longest, &self.device)?;
        let mut released = 0;
        let of_pass = |pass: &Pass| pass.runs.iter().map(|(_, _, count)| count).sum::<usize>();
        let (mut read, total) = (0, plan.passes.iter().map(of_pass).sum());
        self.reading.tell(read, total);
        for pass in &plan.passes {
            let (mut tokens, mut runs) = (Vec::new(), Vec::new());
            let (mut states, mut positions) = (Vec::new(), Vec::new());
            for &(at, start, count) in &pass.runs {
                if cache.rows() == at {
                    match plan.shared[at] {
                        0 => cache.add(),
                        shared => cache.fork(at - 1, shared),
                    };
                }
                let row = plan.order[at];
                let Wanted { ids, positions: of } = &rows[row];
                for position in start.max(of.start)..(start + count).min(of.end) {
                    states.push((tokens.len() + position - start) as u32);
                    positions.push((row, position));
                }
                tokens.extend(&ids[start..start + count]);
                runs.push((at, count));
            }
            let ids = self.ids(&tokens);
            let hidden = self.forward(ids, &runs, self.queries(), &mut cache)?;
            for (states, positions) in states.chunks(AT_ONCE).zip(positions.chunks(AT_ONCE)) {
                each(hidden.clone().select(0, self.ids(states)), positions);
            }
            (released..pass.keep).for_each(|row| cache.release(row));
            released = pass.keep;
            read += of_pass(pass);
            self.reading.tell(read, total);
        }
        Ok(plan.order)
    }

    /// The log-probabilities of the tokens of each of `rows` from a position (1 or more) on, each given all before it: one
    /// row's after the other, `[sum over rows of ids - from]`.
    ///
    /// # Errors
    ///
    /// [`ModelError::EmptyPrompt`] where a row has none, [`ModelError::BadToken`], [`ModelError::ContextFull`],
    /// [`ModelError::CacheTooLarge`] where not even one row after the other fits.
    pub fn log_probs(
        &self,
        rows: &[(Vec<u32>, usize)],
        kv: KvType,
    ) -> Result<Tensor<1>, ModelError> {
        let wanted: Vec<Wanted<'_>> = rows
            .iter()
            .map(|(ids, from)| Wanted {
                ids,
                // The last token's own logits are of no use, and what is before the first token has none.
                positions: match from {
                    0 => 0..0,
                    _ => from - 1..ids.len().saturating_sub(1),
                },
            })
            .collect();
        let mut parts = Vec::new();
        let order = self.sweep(&wanted, kv, &mut |hidden, positions| {
            let targets: Vec<u32> = positions
                .iter()
                .map(|(row, position)| rows[*row].0[position + 1])
                .collect();
            let Logits(logits) = self.logits(hidden);
            parts.push(sampling::log_probs(logits, self.ids(&targets)));
        })?;
        if parts.is_empty() {
            return Err(ModelError::EmptyPrompt);
        }
        // Back to the caller's order.
        let mut begins = vec![0; rows.len()];
        let mut begin = 0;
        for row in order {
            begins[row] = begin;
            begin += wanted[row].positions.len();
        }
        let from = wanted.iter().zip(begins);
        let from: Vec<u32> = from
            .flat_map(|(row, begin)| begin..begin + row.positions.len())
            .map(|at| at as u32)
            .collect();
        Ok(Tensor::cat(parts, 0).select(0, self.ids(&from)))
    }

    /// All logits after each token of `ids` but the last, up to 64 tokens' at a time, in order.
    ///
    /// # Errors
    ///
    /// As [`Decoder::log_probs`].
    pub fn each_logits(
        &self,
        ids: &[u32],
        kv: KvType,
        each: &mut dyn FnMut(Logits),
    ) -> Result<(), ModelError> {
        let positions = 0..ids.len().saturating_sub(1);
        let wanted = [Wanted { ids, positions }];
        self.sweep(&wanted, kv, &mut |hidden, _| each(self.logits(hidden)))?;
        Ok(())
    }

    /// The logits of some `tokens` after each of `prompts`, `[prompts, tokens]`.
    ///
    /// # Errors
    ///
    /// As [`Decoder::log_probs`].
    pub fn next_logits(
        &self,
        prompts: &[Vec<u32>],
        tokens: &[u32],
        kv: KvType,
    ) -> Result<Tensor<2>, ModelError> {
        self.check(tokens)?;
        let wanted: Vec<Wanted<'_>> = prompts
            .iter()
            .map(|ids| Wanted {
                ids,
                positions: ids.len().saturating_sub(1)..ids.len(),
            })
            .collect();
        let mut parts = Vec::new();
        let order = self.sweep(&wanted, kv, &mut |hidden, _| {
            let Logits(logits) = self.logits(hidden);
            parts.push(logits.select(1, self.ids(tokens)));
        })?;
        if parts.is_empty() {
            return Err(ModelError::EmptyPrompt);
        }
        let mut from = vec![0; prompts.len()];
        for (at, row) in order.into_iter().enumerate() {
            from[row] = at as u32;
        }
        Ok(Tensor::cat(parts, 0).select(0, self.ids(&from)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;

    /// Rows that share beginnings by chance.
    fn rows() -> impl Strategy<Value = Vec<(Vec<u32>, usize)>> {
        let row = (0u32..3, 0usize..4, 0u32..3, 1usize..500, 0.0f64..1.0);
        let row = row.prop_map(|(prompt, pages, answer, length, from)| {
            let mut ids = vec![prompt; pages * 50 + 1];
            ids.extend(vec![answer; length]);
            let from = (from * ids.len() as f64) as usize;
            (ids, from)
        });
        prop::collection::vec(row, 1..12)
    }

    proptest! {
        /// Every token that is wanted is computed once, after all before it, from what an earlier pass computed.
        #[test]
        fn a_plan_computes_what_is_wanted(rows in rows(), mixed: bool) {
            let wanted: Vec<Wanted<'_>> = rows
                .iter()
                .map(|(ids, from)| Wanted { ids, positions: *from..ids.len() })
                .collect();
            let plan = Plan::new(&wanted, mixed).unwrap();
            let mut done = vec![0; rows.len()];
            let mut released = 0;
            for pass in &plan.passes {
                // What each row holds as the pass begins, those that begin with it included.
                let mut before = done.clone();
                let mut tokens = 0;
                for &(at, start, count) in &pass.runs {
                    let row = plan.order[at];
                    if done[at] == 0 {
                        prop_assert_eq!(start, plan.shared[at]);
                        if start > 0 {
                            prop_assert!(before[at - 1] >= start && at > released);
                            let alike = wanted[plan.order[at - 1]].ids[..start] == wanted[row].ids[..start];
                            prop_assert!(alike);
                        }
                        (done[at], before[at]) = (start, start);
                    }
                    prop_assert_eq!(done[at], start);
                    done[at] += count;
                    tokens += count;
                }
                prop_assert!(tokens <= CHUNK && (mixed || pass.runs.len() == 1));
                released = pass.keep;
            }
            for (at, row) in plan.order.iter().enumerate() {
                prop_assert_eq!(done[at], wanted[*row].positions.end);
                prop_assert!(plan.shared[at] <= wanted[*row].positions.start);
            }
            if !mixed {
                // Never more than two rows at once.
                let longest = rows.iter().map(|(ids, _)| ids.len().div_ceil(PAGE)).max().unwrap();
                prop_assert!(plan.pages <= 2 * longest);
            }
        }
    }
}
