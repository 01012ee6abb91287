//! Beam search: the search itself, apart from the model that gives the candidates.
//!
//! As in the transformers library with its defaults; the Amulet paper's Beam16 has the same width but also samples
//! (`do_sample=True`) and ends with the first n sequences (`early_stopping=True`), and ours does neither. A sequence's score is its
//! log-probability divided by `length ^ penalty`, the ending token counted; at each step the best 2 n continuations
//! of n beams are looked at, those that end the answer being set aside where they stand among the first n; the search
//! ends once n are set aside of which the worst scores as well as the best beam would at its present length.

use crate::options::options;

options! {
    /// How to search; as many beams as the Amulet paper's Beam16.
    #[cfg_attr(feature = "contract", command(next_help_heading = "Decoding"))]
    pub struct BeamParams in "beam" {
        /// Beam search: sequences followed at once
        #[arg(value_name = "N")]
        beams: usize = 16, (1.0, 256.0), control (1.0, 32.0, 1.0);
        /// Beam search: exponent of the length that log-probabilities are divided by
        #[arg(value_name = "L", allow_negative_numbers = true)]
        length_penalty: f64 = 1.0, (-10.0, 10.0), control (-2.0, 2.0, 0.1);
    }
}

impl BeamParams {
    fn score(&self, log_prob: f64, length: usize) -> f64 {
        log_prob / (length as f64).powf(self.length_penalty)
    }
}

/// A sequence found.
#[derive(Debug, Clone, PartialEq)]
pub struct Sequence {
    /// Its tokens, the ending one included.
    pub tokens: Vec<u32>,
    /// Sum of its tokens' log-probabilities.
    pub log_prob: f64,
    /// The log-probability divided by `length ^ penalty`.
    pub score: f64,
    /// True where the model ended it.
    pub ended: bool,
}

/// A search under way.
#[derive(Debug)]
pub struct BeamSearch {
    params: BeamParams,
    beams: Vec<(Vec<u32>, f64)>,
    ended: Vec<Sequence>,
    done: bool,
}

impl BeamSearch {
    /// A search with one empty beam.
    #[must_use]
    pub fn new(params: BeamParams) -> Self {
        Self {
            params,
            beams: vec![(Vec::new(), 0.0)],
            ended: Vec::new(),
            done: false,
        }
    }

    /// Candidates that each beam must give.
    #[must_use]
    pub fn candidates(&self) -> usize {
        2 * self.params.beams
    }

    /// The last token of every beam.
    pub fn last_tokens(&self) -> impl Iterator<Item = u32> {
        self.beams.iter().filter_map(|(ids, _)| ids.last().copied())
    }

    /// True once nothing better is to be expected.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Goes on by a token: `candidates` are each beam's best next tokens with their log-probabilities, best first.
    /// Gives the beam that each of the new beams goes on from.
    pub fn advance(
        &mut self,
        candidates: &[Vec<(u32, f32)>],
        is_end: impl Fn(u32) -> bool,
    ) -> Vec<usize> {
        let count = self.params.beams;
        let mut all: Vec<(usize, u32, f64)> = Vec::new();
        for (from, (candidates, (_, log_prob))) in candidates.iter().zip(&self.beams).enumerate() {
            let sum = |(id, own): &(u32, f32)| (from, *id, log_prob + f64::from(*own));
            all.extend(candidates.iter().map(sum));
        }
        all.retain(|(_, _, log_prob)| log_prob.is_finite());
        all.sort_by(|a, b| b.2.total_cmp(&a.2).then((a.0, a.1).cmp(&(b.0, b.1))));
        all.truncate(self.candidates());
        let best = all.first().map(|(_, _, log_prob)| *log_prob);
        let (mut beams, mut parents) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let mut length = 0;
        for (rank, (from, id, log_prob)) in all.into_iter().enumerate() {
            let mut tokens = self.beams[from].0.clone();
            tokens.push(id);
            length = tokens.len();
            if !is_end(id) {
                beams.push((tokens, log_prob));
                parents.push(from);
            } else if rank < count {
                self.set_aside(tokens, log_prob, true);
            }
            if beams.len() == count {
                break;
            }
        }
        self.beams = beams;
        let worst = self.ended.last().map(|sequence| sequence.score);
        self.done = match (best, worst) {
            _ if self.beams.is_empty() => true,
            (Some(best), Some(worst)) => {
                self.ended.len() >= count && worst >= self.params.score(best, length)
            }
            _ => false,
        };
        parents
    }

    fn set_aside(&mut self, tokens: Vec<u32>, log_prob: f64, ended: bool) {
        let score = self.params.score(log_prob, tokens.len());
        let place = self.ended.partition_point(|other| other.score >= score);
        let sequence = Sequence {
            tokens,
            log_prob,
            score,
            ended,
        };
        self.ended.insert(place, sequence);
        self.ended.truncate(self.params.beams);
    }

    /// The sequences found, best first; where the search was not done, those of the beams are among them.
    #[must_use]
    pub fn finish(mut self) -> Vec<Sequence> {
        if !self.done {
            for (tokens, log_prob) in std::mem::take(&mut self.beams) {
                if !tokens.is_empty() {
                    self.set_aside(tokens, log_prob, false);
                }
            }
        }
        self.ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Token 0 ends an answer. After nothing: 1 (0.6), 2 (0.4). After 1: 0, 1 and 2 alike. After 2: 0 (0.9).
    fn next(last: Option<u32>) -> Vec<(u32, f32)> {
        let of = |p: &[(u32, f32)]| p.iter().map(|(id, p)| (*id, p.ln())).collect();
        match last {
            None => of(&[(1, 0.6), (2, 0.4)]),
            Some(1) => of(&[(0, 0.34), (1, 0.33), (2, 0.33)]),
            _ => of(&[(0, 0.9), (1, 0.1)]),
        }
    }

    #[test]
    fn two_beams_find_what_greedy_misses() {
        let search = |beams| {
            let params = BeamParams {
                beams,
                length_penalty: 0.0,
            };
            let mut search = BeamSearch::new(params);
            search.advance(&[next(None)], |id| id == 0);
            while !search.is_done() {
                let candidates: Vec<_> = search.last_tokens().map(|id| next(Some(id))).collect();
                search.advance(&candidates, |id| id == 0);
            }
            search.finish().remove(0)
        };
        assert_eq!(search(1).tokens, [1, 0]);
        let best = search(2);
        assert_eq!((best.tokens, best.ended), (vec![2, 0], true));
        assert!((best.log_prob - 0.36f64.ln()).abs() < 1e-6);
    }
}
