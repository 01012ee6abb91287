//! Guidance and sampling on slices; `shaders/guidance.wgsl` and `shaders/sample.wgsl` have the equations.

/// See [`super::super::sampling::guidance`]: one answer's scores. `streams` are its rows' logits with their
/// weights, the anchor first.
pub fn guidance(streams: &[(&[f32], f32)], beta: f32, scores: &mut [f32]) {
    let Some((&(anchor, total), others)) = streams.split_first() else {
        return;
    };
    for (score, l) in scores.iter_mut().zip(anchor) {
        *score = total * l;
    }
    for (logits, weight) in others {
        for ((score, l), anchor) in scores.iter_mut().zip(*logits).zip(anchor) {
            let difference = l - anchor;
            *score += weight
                * if difference.is_finite() {
                    difference
                } else {
                    0.0
                };
        }
    }
    if beta > 0.0 {
        let highest = anchor
            .iter()
            .copied()
            .filter(|l| l.is_finite())
            .fold(LOWEST, f32::max);
        for (score, l) in scores.iter_mut().zip(anchor) {
            if *l < highest + beta.ln() {
                *score = LOWEST;
            }
        }
    }
}

/// What is at most this is no score to choose by.
const LOWEST: f32 = -3.4e38;

/// Candidates that are sorted first; they nearly always settle what is kept.
const CANDIDATES: usize = 1024;

/// See `settings` in `shaders/sample.wgsl`.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    pub temperature: f32,
    pub top_k: usize,
    pub top_p: f32,
    pub min_p: f32,
    pub repetition: f32,
    pub frequency: f32,
    pub presence: f32,
}

impl Settings {
    pub fn new(settings: &[f32]) -> Self {
        let at = |index: usize| settings.get(index).copied().unwrap_or(0.0);
        Self {
            temperature: at(1),
            top_k: at(2) as usize,
            top_p: at(3),
            min_p: at(4),
            repetition: at(5),
            frequency: at(6),
            presence: at(7),
        }
    }

    /// The score after penalties; [`LOWEST`] for what is no number.
    fn penalized(&self, score: f32, count: i32) -> f32 {
        let mut p = score;
        if count > 0 {
            p = if p > 0.0 {
                p / self.repetition
            } else {
                p * self.repetition
            };
            p -= self.frequency * count as f32 + self.presence;
        }
        if p.is_finite() { p.max(LOWEST) } else { LOWEST }
    }
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
        let p = settings.penalized(*score, *count);
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
    if settings.top_k > 0 || settings.top_p < 1.0 {
        let count = if settings.top_k > 0 {
            settings.top_k.min(all.len())
        } else {
            all.len()
        };
        let mut whole: f32 = all.iter().map(|(p, _)| weight(*p)).sum();
        let sort = |all: &mut Vec<(f32, u32)>, n: usize| {
            if n < all.len() {
                all.select_nth_unstable_by(n, order);
            }
            all[..n].sort_unstable_by(order);
        };
        let mut sorted = CANDIDATES.min(all.len());
        sort(&mut all, sorted);
        if settings.top_k > 0 {
            if count > sorted {
                sorted = count;
                sort(&mut all, sorted);
            }
            whole = all[..count].iter().map(|(p, _)| weight(*p)).sum();
        }
        let limit = if settings.top_p < 1.0 {
            settings.top_p * whole
        } else {
            f32::INFINITY
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

/// How many of these stand before the nucleus ends; one at least.
fn nucleus(sorted: &[(f32, u32)], limit: f32, weight: &impl Fn(f32) -> f32) -> usize {
    let mut passed = 0.0;
    let inside = sorted.iter().take_while(|(p, _)| {
        let before = passed;
        passed += weight(*p);
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
