//! Guidance and sampling on slices; `shaders/guidance.wgsl` and `shaders/sample.wgsl` have the equations.

use super::super::sampling::{Guards, Settings};

/// See [`super::super::sampling::guidance`]: one answer's scores; gives t and its KL. `streams` are its rows' logits
/// with their weights, the anchor first.
pub fn guidance(
    streams: &[(&[f32], f32)],
    settings: &Settings,
    guards: Guards,
    scores: &mut [f32],
) -> [f32; 2] {
    let Some((&(anchor, total), others)) = streams.split_first() else {
        return [1.0, -1.0];
    };
    let mut differences = vec![0.0; scores.len()];
    for (logits, weight) in others {
        for ((sum, l), anchor) in differences.iter_mut().zip(*logits).zip(anchor) {
            let difference = l - anchor;
            if difference.is_finite() {
                *sum += weight * difference;
            }
        }
    }
    for (score, l) in scores.iter_mut().zip(anchor) {
        *score = total * l;
    }
    if let Some(last) = last_kept(anchor, settings, guards.nucleus) {
        for ((score, l), id) in scores.iter_mut().zip(anchor).zip(0..) {
            let stays = *l > last.0 || (*l == last.0 && id <= last.1);
            if !stays {
                *score = LOWEST;
            }
        }
    }
    let most = match others {
        [(other, _)] if guards.jsd => disagreement(anchor, other),
        _ => 1.0,
    };
    let [t, kl] = match guards.evaluations {
        0 => [most, -1.0],
        evaluations => share(scores, &differences, settings.budget, most, evaluations),
    };
    for (score, difference) in scores.iter_mut().zip(&differences) {
        if *score > LOWEST {
            *score += t * difference;
        }
    }
    [t, kl]
}

/// The last token of the anchor's that plausibility and nucleus leave, by logit and of equal ones by id; `None` where all
/// stay.
fn last_kept(anchor: &[f32], settings: &Settings, nucleus: bool) -> Option<(f32, u32)> {
    let plausible = (settings.beta > 0.0).then(|| {
        let finite = anchor.iter().copied().filter(|l| l.is_finite());
        (finite.fold(LOWEST, f32::max) + settings.beta.ln(), u32::MAX)
    });
    let nucleus = match nucleus && settings.nucleus < 1.0 {
        true => last_of_nucleus(anchor, settings.nucleus),
        false => None,
    };
    match (plausible, nucleus) {
        (Some(plausible), Some(nucleus)) if nucleus.0 < plausible.0 => Some(plausible),
        (plausible, nucleus) => nucleus.or(plausible),
    }
}

/// The last of the best tokens whose probabilities reach `share`.
fn last_of_nucleus(logits: &[f32], share: f32) -> Option<(f32, u32)> {
    let mut all: Vec<(f32, u32)> = logits
        .iter()
        .copied()
        .zip(0..)
        .filter(|(l, _)| l.is_finite() && *l > LOWEST)
        .collect();
    let highest = all.iter().map(|(l, _)| *l).fold(LOWEST, f32::max);
    let weight = |l: f32| (l - highest).exp();
    let limit = f64::from(share) * mass(&all, &weight);
    let sorted = CANDIDATES.min(all.len());
    sort_best(&mut all, sorted);
    let mut kept = nucleus(&all[..sorted], limit, &weight);
    if kept == sorted {
        all.sort_unstable_by(order);
        kept = nucleus(&all, limit, &weight);
    }
    all.get(kept - 1).copied()
}

/// The Jensen-Shannon divergence of `softmax(p)` and `softmax(b)`, divided by ln 2: from 0 to 1.
fn disagreement(p: &[f32], b: &[f32]) -> f32 {
    let masses = |logits: &[f32]| -> (Vec<f64>, f64) {
        let usable = |l: f32| l.is_finite() && l > LOWEST;
        let finite = logits.iter().copied().filter(|l| usable(*l));
        let highest = finite.fold(LOWEST, f32::max);
        let mass = |l: &f32| match usable(*l) {
            true => f64::from(l - highest).exp(),
            false => 0.0,
        };
        let all: Vec<f64> = logits.iter().map(mass).collect();
        let whole = all.iter().sum();
        (all, whole)
    };
    let ((p, all_p), (b, all_b)) = (masses(p), masses(b));
    let mut sum = 0.0;
    for (p, b) in p.iter().zip(&b) {
        let (p, b) = (p / all_p, b / all_b);
        let both = p + b;
        if both > 0.0 {
            sum += both * gap((p - b) / both);
        }
    }
    (sum / (2.0 * std::f64::consts::LN_2)).clamp(0.0, 1.0) as f32
}

/// `((1 + r) ln(1 + r) + (1 - r) ln(1 - r)) / 2` for `r` in `[-1, 1]`.
fn gap(r: f64) -> f64 {
    let side = |r: f64| match r > -1.0 {
        true => (1.0 + r) * r.ln_1p(),
        false => 0.0,
    };
    (side(r) + side(-r)) / 2.0
}

/// The largest share t of `d` in `[0, most]` that keeps `softmax(y + t d)` within `budget` of `softmax(y)`, and that KL.
fn share(y: &[f32], d: &[f32], budget: f32, most: f32, evaluations: usize) -> [f32; 2] {
    // ln Z, mean of d and variance of d under softmax(y + t d), in f64: the terms nearly cancel.
    let tilted = |t: f64| {
        let terms = || {
            let usable = y
                .iter()
                .zip(d)
                .filter(|(y, _)| **y > LOWEST && y.is_finite());
            usable.map(|(y, d)| (f64::from(*y) + t * f64::from(*d), f64::from(*d)))
        };
        let highest = terms().map(|(y, _)| y).fold(f64::NEG_INFINITY, f64::max);
        let (mut z, mut sum, mut squares) = (0.0, 0.0, 0.0);
        for (y, d) in terms() {
            let w = (y - highest).exp();
            z += w;
            sum += w * d;
            squares += w * d * d;
        }
        let mean = sum / z;
        (highest + z.ln(), mean, (squares / z - mean * mean).max(0.0))
    };
    let budget = f64::from(budget);
    let target_root = (budget - f64::min(0.0005, 0.002 * budget)).max(0.0).sqrt();
    let rest = tilted(0.0).0;
    let most = f64::from(most);
    let (mut low, mut low_kl, mut high, mut t) = (0.0, 0.0, most, most);
    for _ in 0..evaluations {
        let (log_z, mean, variance) = tilted(t);
        let kl = (t * mean - (log_z - rest)).max(0.0);
        if budget > 0.0 && kl <= budget {
            (low, low_kl) = (t, kl);
        } else {
            high = t;
        }
        if low == most {
            break;
        }
        let root = kl.sqrt();
        t += (target_root - root) * 2.0 * root / (t * variance).max(1e-30);
        if !(low < t && t < high) {
            t = f64::midpoint(low, high);
        }
    }
    [low as f32, low_kl as f32]
}

/// What is at most this is no score to choose by.
const LOWEST: f32 = -3.4e38;

/// Candidates that are sorted first; they nearly always settle what is kept.
const CANDIDATES: usize = 1024;

/// The score after penalties; [`LOWEST`] for what is no number.
fn penalized(settings: &Settings, score: f32, count: i32) -> f32 {
    let mut p = score;
    if count > 0 {
        p = if p > 0.0 {
            p / settings.repetition
        } else {
            p * settings.repetition
        };
        p -= settings.frequency * count as f32 + settings.presence;
    }
    if p.is_finite() { p.max(LOWEST) } else { LOWEST }
}

/// Best first, equal ones by id.
fn order(a: &(f32, u32), b: &(f32, u32)) -> std::cmp::Ordering {
    b.0.total_cmp(&a.0).then(a.1.cmp(&b.1))
}

/// One answer's token, or `None` where no score is a number to choose by. `key` is seed low, seed high, step and the
/// answer's number.
pub fn sample(scores: &[f32], counts: &[i32], settings: &Settings, key: [u32; 4]) -> Option<u32> {
    let mut all: Vec<(f32, u32)> = Vec::new();
    let mut best = (LOWEST, 0);
    for ((score, count), id) in scores.iter().zip(counts).zip(0..) {
        let p = penalized(settings, *score, *count);
        if p > best.0 {
            best = (p, id);
        }
        if settings.temperature > 0.0 && p > LOWEST {
            all.push((p, id));
        }
    }
    if best.0 <= LOWEST {
        return None;
    }
    if settings.temperature <= 0.0 {
        return Some(best.1);
    }
    let weight = |p: f32| ((p - best.0) / settings.temperature).exp();
    let least = settings.min_p;
    let top_k = settings.top_k as usize;
    if top_k > 0 || settings.top_p < 1.0 {
        let count = if top_k > 0 {
            top_k.min(all.len())
        } else {
            all.len()
        };
        let mut whole = mass(&all, &weight);
        let mut sorted = CANDIDATES.min(all.len());
        sort_best(&mut all, sorted);
        if top_k > 0 {
            if count > sorted {
                sorted = count;
                sort_best(&mut all, sorted);
            }
            whole = mass(&all[..count], &weight);
        }
        let limit = match settings.top_p < 1.0 {
            true => f64::from(settings.top_p) * whole,
            false => f64::INFINITY,
        };
        let mut kept = nucleus(&all[..count.min(sorted)], limit, &weight);
        if kept == sorted && sorted < count {
            all.sort_unstable_by(order);
            kept = nucleus(&all[..count], limit, &weight);
        }
        all.truncate(kept);
    }
    let [low, high, step, answer] = key;
    all.into_iter()
        .filter(|(p, id)| *id == best.1 || weight(*p) >= least)
        .map(|(p, id)| {
            let noise = gumbel([low, high], id, step, answer);
            ((p - best.0) / settings.temperature + noise, id)
        })
        .min_by(order)
        .map(|(_, id)| id)
}

/// Puts the best `n` first, in order.
fn sort_best(all: &mut [(f32, u32)], n: usize) {
    if n < all.len() {
        all.select_nth_unstable_by(n, order);
    }
    all[..n].sort_unstable_by(order);
}

/// The sum of their weights, in f64: so many f32 one after the other drift.
fn mass(of: &[(f32, u32)], weight: &impl Fn(f32) -> f32) -> f64 {
    of.iter().map(|(p, _)| f64::from(weight(*p))).sum()
}

/// How many of these stand before the nucleus ends; one at least.
fn nucleus(sorted: &[(f32, u32)], limit: f64, weight: &impl Fn(f32) -> f32) -> usize {
    let mut passed = 0.0;
    let inside = sorted.iter().take_while(|(p, _)| {
        let before = passed;
        passed += f64::from(weight(*p));
        before < limit
    });
    inside.count().max(1)
}

/// `-ln(-ln(u))` with `u` in (0, 1) from Philox.
fn gumbel(key: [u32; 2], id: u32, step: u32, answer: u32) -> f32 {
    let words = philox([id / 4, step, answer, 0], key);
    let uniform = ((words[(id % 4) as usize] >> 9) as f32 + 0.5) / 8_388_608.0;
    -(-uniform.ln()).ln()
}

/// Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let (mut c, mut k) = (counter, key);
    for _ in 0..10 {
        let a = u64::from(c[0]) * 0xd251_1f53;
        let b = u64::from(c[2]) * 0xcd9e_8d57;
        c = [
            (b >> 32) as u32 ^ c[1] ^ k[0],
            b as u32,
            (a >> 32) as u32 ^ c[3] ^ k[1],
            a as u32,
        ];
        k = [
            k[0].wrapping_add(0x9e37_79b9),
            k[1].wrapping_add(0xbb67_ae85),
        ];
    }
    c
}

/// The logarithm of the scores' sum of exponentials, over what is a number.
pub fn log_sum_exp(scores: &[f32]) -> f32 {
    let usable = || {
        scores
            .iter()
            .copied()
            .filter(|s| s.is_finite() && *s > LOWEST)
    };
    let highest = usable().fold(LOWEST, f32::max);
    // In f64: so many f32 one after the other lose four digits.
    let sum: f64 = usable().map(|s| f64::from((s - highest).exp())).sum();
    highest + sum.ln() as f32
}

/// The best `top` tokens with their scores, -1 for lack of more.
pub fn best(scores: &[f32], top: usize) -> Vec<(f32, i32)> {
    let mut all: Vec<(f32, u32)> = scores
        .iter()
        .zip(0..)
        .filter(|(s, _)| s.is_finite() && **s > LOWEST)
        .map(|(s, id)| (*s, id))
        .collect();
    let n = top.min(all.len());
    if n < all.len() && n > 0 {
        all.select_nth_unstable_by(n, order);
    }
    all[..n].sort_unstable_by(order);
    let mut best: Vec<_> = all[..n].iter().map(|(s, id)| (*s, *id as i32)).collect();
    best.resize(top, (LOWEST, -1));
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers that Random123 publishes (kat_vectors, philox4x32 10).
    #[test]
    fn philox_gives_the_published_numbers() {
        let ones = u32::MAX;
        for (counter, key, want) in [
            (
                [0; 4],
                [0; 2],
                [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8],
            ),
            (
                [ones; 4],
                [ones; 2],
                [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd],
            ),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ] {
            assert_eq!(philox(counter, key), want);
        }
    }
}
