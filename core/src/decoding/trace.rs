//! What went on at one token: both policies, the strength between them, and Amulet's iterates.

use super::{AmuletParams, Method, Sampling};
use std::collections::BTreeMap;

pub use super::token_trace::{Iterate, TokenTrace, TopToken};

/// `log softmax` of scores, in f64; what is not finite stays impossible.
fn log_softmax(scores: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut scores: Vec<f64> = scores
        .map(|s| if s.is_finite() { s } else { f64::NEG_INFINITY })
        .collect();
    let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = scores.iter().map(|s| (s - highest).exp()).sum();
    let log_z = highest + sum.ln();
    scores.iter_mut().for_each(|s| *s -= log_z);
    scores
}

/// The log-probabilities of some tokens under `softmax(logits)`, in f64; of what is outside the vocabulary minus infinity.
#[must_use]
pub fn log_probs_of(logits: &[f32], ids: &[u32]) -> Vec<f64> {
    let all = log_softmax(logits.iter().map(|l| f64::from(*l)));
    let of = |id: &u32| all.get(*id as usize).copied();
    ids.iter()
        .map(|id| of(id).unwrap_or(f64::NEG_INFINITY))
        .collect()
}

fn best(log_probs: &[f64], top: usize) -> Vec<(u32, f64)> {
    let mut all: Vec<(u32, f64)> = (0..).zip(log_probs.iter().copied()).collect();
    let order = |a: &(u32, f64), b: &(u32, f64)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    let top = top.min(all.len());
    if top < all.len() && top > 0 {
        all.select_nth_unstable_by(top, order);
    }
    all.truncate(top);
    all.sort_unstable_by(order);
    all.retain(|(_, log_prob)| log_prob.is_finite());
    all
}

/// Which tokens plausibility and nucleus leave of the anchor's; `chosen` is one of them, however close it was.
fn kept(anchor: &[f32], sampling: &Sampling, chosen: u32) -> Vec<bool> {
    let log_probs = log_softmax(anchor.iter().map(|l| f64::from(*l)));
    let mut kept = vec![true; anchor.len()];
    if sampling.plausibility > 0.0 {
        let highest = log_probs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let least = highest + sampling.plausibility.ln();
        for (kept, log_prob) in kept.iter_mut().zip(&log_probs) {
            *kept = *log_prob >= least;
        }
    }
    if sampling.nucleus < 1.0 {
        let mut order: Vec<usize> = (0..anchor.len()).collect();
        order.sort_unstable_by(|a, b| log_probs[*b].total_cmp(&log_probs[*a]).then(a.cmp(b)));
        let mut before = 0.0;
        for id in order {
            kept[id] &= before < sampling.nucleus;
            before += log_probs[id].exp();
        }
    }
    kept[chosen as usize] = true;
    kept
}

/// The trace of a token `id` that `method` chose from its streams' `logits`, one slice each in the order of
/// [`Method::streams`], at `share` of its strength, with the cuts of `sampling`. `piece` gives what stands for a token.
#[must_use]
pub fn token(
    method: &Method,
    logits: &[&[f32]],
    share: f64,
    sampling: &Sampling,
    id: u32,
    top: usize,
    piece: &dyn Fn(u32) -> String,
) -> TokenTrace {
    let named = |(id, log_prob): (u32, f64)| TopToken {
        id,
        piece: piece(id),
        log_prob,
    };
    let streams = method.streams();
    let weights = method.weights();
    let anchor_row = weights[0].0;
    let all: f64 = f64::from(weights[0].1);
    let anchor = logits[anchor_row];
    let kept = kept(anchor, sampling, id);
    let difference = |v: usize| -> f64 {
        let others = weights[1..].iter().map(|(row, weight)| {
            let d = f64::from(logits[*row][v] - anchor[v]);
            if d.is_finite() {
                f64::from(*weight) * d
            } else {
                0.0
            }
        });
        others.sum()
    };
    let at = |share: f64| {
        log_softmax((0..anchor.len()).map(|v| match kept[v] {
            true => all * f64::from(anchor[v]) + share * difference(v),
            false => f64::NEG_INFINITY,
        }))
    };
    let policy = at(share);
    let rest = at(0.0);
    let terms = || policy.iter().zip(&rest).filter(|(p, _)| p.is_finite());
    let kl: f64 = terms().map(|(p, q)| p.exp() * (p - q)).sum();
    let entropy: f64 = terms().map(|(p, _)| -p.exp() * p).sum();

    let mut log_prob = BTreeMap::new();
    let mut tops = BTreeMap::new();
    let mut report = |name: &str, log_probs: &[f64]| {
        let own = Some(log_probs[id as usize]).filter(|own| own.is_finite());
        log_prob.insert(name.to_owned(), own);
        let top = best(log_probs, top).into_iter().map(named);
        tops.insert(name.to_owned(), top.collect());
    };
    for (stream, logits) in streams.iter().zip(logits) {
        report(
            &stream.name,
            &log_softmax(logits.iter().map(|l| f64::from(*l))),
        );
    }
    report("final", &policy);
    let runner_up = best(&policy, 2).into_iter().find(|(other, _)| *other != id);
    let iterates = match method {
        Method::Amulet(params) if params.strength() > 0.0 => {
            let steps = steps(params);
            let whole = params.strength();
            let one = |(i, k): (u32, f64)| {
                let log_probs = at(k / whole);
                Iterate {
                    i,
                    k,
                    chosen: log_probs[id as usize],
                    runner_up: runner_up.map(|(other, _)| log_probs[other as usize]),
                }
            };
            steps.into_iter().map(one).collect()
        }
        _ => Vec::new(),
    };
    TokenTrace {
        id,
        piece: piece(id),
        log_prob,
        k: share * method.strength(),
        kl: kl.max(0.0),
        entropy,
        top: tops,
        runner_up: runner_up.map(named),
        iterates,
    }
}

/// The iterates worth showing, 0, 1, 2, 4, 8 and so on to T, with their strengths.
fn steps(params: &AmuletParams) -> Vec<(u32, f64)> {
    let doubling = std::iter::successors(Some(1u32), |i| i.checked_mul(2));
    std::iter::once(0)
        .chain(doubling.take_while(|i| *i < params.iterations))
        .chain(std::iter::once(params.iterations))
        .map(|iterations| {
            let some = AmuletParams {
                iterations,
                ..*params
            };
            (iterations, some.strength())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn name(id: u32) -> String {
        id.to_string()
    }

    #[test]
    fn a_token_by_hand() {
        // Two tokens; pref says 3:1, base 1:1. With k = 1 the policy is 9:1.
        let base = [0.0, 0.0];
        let pref = [3f32.ln(), 0.0];
        let method = Method::LinearAlignment { strength: 1.0 };
        let none = Sampling::default();
        let trace = token(&method, &[&base, &pref], 1.0, &none, 0, 1, &name);
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-6, "{a} {b}");
        close(trace.log_prob["base"].unwrap(), 0.5f64.ln());
        close(trace.log_prob["pref"].unwrap(), 0.75f64.ln());
        close(trace.log_prob["final"].unwrap(), 0.9f64.ln());
        close(
            trace.kl,
            0.9 * (0.9f64 / 0.75).ln() + 0.1 * (0.1f64 / 0.25).ln(),
        );
        close(trace.entropy, -(0.9 * 0.9f64.ln() + 0.1 * 0.1f64.ln()));
        assert_eq!(trace.runner_up.unwrap().piece, "1");
        assert_eq!(trace.top["final"][0].id, 0);
        // Either cut leaves the first alone; a nucleus past its 3/4 leaves both.
        let [plausible, nucleus, wide] =
            [(0.5, 1.0), (0.0, 0.7), (0.0, 0.8)].map(|cuts| Sampling {
                plausibility: cuts.0,
                nucleus: cuts.1,
                ..none
            });
        for cuts in [&plausible, &nucleus] {
            let trace = token(&method, &[&base, &pref], 1.0, cuts, 0, 2, &name);
            close(trace.log_prob["final"].unwrap(), 0.0);
            assert_eq!((trace.runner_up, trace.top["final"].len()), (None, 1));
        }
        let trace = token(&method, &[&base, &pref], 1.0, &wide, 0, 2, &name);
        close(trace.log_prob["final"].unwrap(), 0.9f64.ln());
        // What was chosen was kept, whatever rounding says of it.
        let trace = token(&method, &[&base, &pref], 1.0, &nucleus, 1, 2, &name);
        close(trace.log_prob["final"].unwrap(), 0.1f64.ln());
    }

    #[test]
    fn iterates_go_from_pref_to_the_policy() {
        let base = [0.0, 0.5, -1.0];
        let pref = [1.0, 0.0, 0.0];
        let method = Method::Amulet(AmuletParams::default());
        let none = Sampling::default();
        let trace = token(&method, &[&base, &pref], 1.0, &none, 0, 0, &name);
        let (first, last) = (
            trace.iterates.first().unwrap(),
            trace.iterates.last().unwrap(),
        );
        assert_eq!(
            trace.iterates.iter().map(|it| it.i).collect::<Vec<_>>(),
            [0, 1, 2, 4, 8, 16, 32, 60]
        );
        assert!((first.chosen - trace.log_prob["pref"].unwrap()).abs() < 1e-9);
        assert!((last.chosen - trace.log_prob["final"].unwrap()).abs() < 1e-9);
        assert!((last.k - 4.648_699).abs() < 1e-5);
    }
}
