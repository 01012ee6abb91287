//! Guidance and sampling: WGSL against the CPU twin, both against a plain full sort, and the draws against their
//! distribution.

use crate::common::{compare, devices, floats, int_values, ints, poison, random, values};
use burn::tensor::{Device, Tensor};
use periapt_core::device::{self, DeviceChoice};
use periapt_core::kernels::sampling::{self, Guards, Guided, guidance, log_probs, sample};
use proptest::prelude::*;

/// Settings by name, in the kernels' order.
#[derive(Debug, Clone, Copy)]
struct Settings {
    beta: f32,
    temperature: f32,
    top_k: usize,
    top_p: f32,
    min_p: f32,
    repetition: f32,
    frequency: f32,
    presence: f32,
    nucleus: f32,
    kl_budget: f32,
}

const GREEDY: Settings = Settings {
    beta: 0.0,
    temperature: 0.0,
    top_k: 0,
    top_p: 1.0,
    min_p: 0.0,
    repetition: 1.0,
    frequency: 0.0,
    presence: 0.0,
    nucleus: 1.0,
    kl_budget: 0.0,
};

const DRAW: Settings = Settings {
    temperature: 1.0,
    ..GREEDY
};

impl Settings {
    fn tensor(&self, device: &Device) -> Tensor<1> {
        let all = sampling::Settings {
            beta: self.beta,
            temperature: self.temperature,
            top_k: self.top_k as f32,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition: self.repetition,
            frequency: self.frequency,
            presence: self.presence,
            nucleus: self.nucleus,
            budget: self.kl_budget,
        };
        let slots = all.to_slots();
        floats(&slots, [slots.len()], device)
    }
}

#[derive(Debug, PartialEq)]
struct Outcome {
    ids: Vec<i32>,
    log_probs: Vec<f32>,
    top: Vec<(i32, f32)>,
    counts: Vec<i32>,
    tokens: Vec<i32>,
}

/// Samples each answer of `scores [answers, vocab]`; answer `a` has the two rows 2a + 1 and 2a, and the number
/// `key[3] + a`.
fn run(
    device: &Device,
    scores: &[f32],
    counts: &[i32],
    settings: &Settings,
    key: [i32; 4],
    top: usize,
) -> Outcome {
    let answers = 1.max(scores.len() / VOCAB_OF.with(std::cell::Cell::get));
    let vocab = scores.len() / answers;
    let rows: Vec<i32> = (0..answers as i32)
        .flat_map(|a| [2 * a + 1, 2 * a])
        .collect();
    let [low, high, step, first] = key;
    let numbers = (first..).take(answers);
    let key: Vec<i32> = [low, high, step].into_iter().chain(numbers).collect();
    let leaning: Vec<f32> = (0..answers).flat_map(|a| [0.25, a as f32]).collect();
    poison(device);
    let guided = Guided {
        scores: floats(scores, [answers, vocab], device),
        leaning: floats(&leaning, [answers, 2], device),
    };
    let sampled = sample(
        guided,
        ints(&rows, [answers, 2], device),
        settings.tensor(device),
        ints(&key, [key.len()], device),
        ints(counts, [answers, vocab], device),
        ints(&vec![-7; 2 * answers], [2 * answers], device),
        top,
    );
    let chosen = int_values(sampled.chosen);
    let float = |bits: i32| f32::from_bits(bits as u32);
    let width = 4 + 2 * top;
    for (a, answer) in chosen.chunks(width).enumerate() {
        assert_eq!([2, 3].map(|at| float(answer[at])), [0.25, a as f32]);
    }
    Outcome {
        ids: chosen.chunks(width).map(|answer| answer[0]).collect(),
        log_probs: chosen
            .chunks(width)
            .map(|answer| float(answer[1]))
            .collect(),
        top: chosen
            .chunks(width)
            .flat_map(|answer| answer[4..].chunks(2).map(|pair| (pair[0], float(pair[1]))))
            .collect(),
        counts: int_values(sampled.counts),
        tokens: int_values(sampled.tokens),
    }
}

std::thread_local! {
    /// The vocabulary of the test under way; more scores than that are several answers.
    static VOCAB_OF: std::cell::Cell<usize> = const { std::cell::Cell::new(usize::MAX) };
}

/// The tokens that truncation keeps, best first, by a full sort in f64.
fn kept(scores: &[f32], settings: &Settings) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len())
        .filter(|id| scores[*id].is_finite())
        .collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b)));
    if settings.temperature == 0.0 {
        order.truncate(1);
        return order;
    }
    let weight = |id: usize| {
        (f64::from(scores[id] - scores[order[0]]) / f64::from(settings.temperature)).exp()
    };
    let mut result = order.clone();
    if settings.top_k > 0 {
        result.truncate(settings.top_k);
    }
    let whole: f64 = result.iter().map(|id| weight(*id)).sum();
    let mut passed = 0.0;
    let nucleus = result
        .iter()
        .take_while(|id| {
            let before = passed;
            passed += weight(**id);
            settings.top_p >= 1.0 || before < f64::from(settings.top_p) * whole
        })
        .count();
    result.truncate(nucleus.max(1));
    result.retain(|id| weight(*id) >= f64::from(settings.min_p) || *id == order[0]);
    result
}

fn spread(seed: u64, vocab: usize, size: f32) -> Vec<f32> {
    random(seed, vocab, 1.0)
        .iter()
        .map(|x| x * x * x * size)
        .collect()
}

/// The settings worth trying; the flat ones need more candidates than fit in workgroup memory.
fn all_settings() -> Vec<Settings> {
    let top_k = |top_k| Settings { top_k, ..DRAW };
    let top_p = |top_p| Settings { top_p, ..DRAW };
    let mut all = vec![
        GREEDY,
        DRAW,
        top_k(1),
        top_k(40),
        top_k(3000),
        top_k(1 << 20),
    ];
    all.extend([top_p(0.05), top_p(0.5), top_p(0.95)]);
    all.extend([
        Settings { min_p: 0.1, ..DRAW },
        Settings {
            top_k: 50,
            top_p: 0.9,
            min_p: 0.01,
            temperature: 0.7,
            ..DRAW
        },
        Settings {
            top_k: 5000,
            top_p: 0.9,
            temperature: 3.0,
            ..DRAW
        },
        Settings {
            repetition: 1.3,
            frequency: 0.2,
            presence: 0.4,
            ..GREEDY
        },
        Settings {
            repetition: 1.3,
            frequency: 0.2,
            presence: 0.4,
            top_p: 0.8,
            ..DRAW
        },
    ]);
    all
}

#[test]
fn sample_equals_its_twin() {
    let Some(devices) = devices() else { return };
    let mut near = 0;
    let mut runs = 0;
    for vocab in [1, 255, 256, 257, 49_152] {
        VOCAB_OF.set(vocab);
        for (seed, size) in [(1, 20.0), (2, 0.01)] {
            let mut scores = spread(seed, vocab, size);
            scores.extend(spread(seed + 10, vocab, size));
            let counts: Vec<i32> = (0..2 * vocab as i32).map(|i| i % 5 % 3).collect();
            for settings in all_settings() {
                let key = [seed as i32, -3, 17, 4];
                let cpu = run(&devices.cpu.device, &scores, &counts, &settings, key, 3);
                let gpu = run(&devices.gpu.device, &scores, &counts, &settings, key, 3);
                let what = format!("vocab {vocab} size {size} {settings:?}");
                compare(&what, "GPU", &gpu.log_probs, &cpu.log_probs, f32::INFINITY).unwrap();
                runs += 2;
                for answer in 0..2 {
                    if gpu.ids[answer] != cpu.ids[answer] {
                        // Two candidates may lie within a rounding of each other.
                        near += 1;
                        continue;
                    }
                    let (got, want) = (gpu.log_probs[answer], cpu.log_probs[answer]);
                    assert!((got - want).abs() < 1e-4, "{what}: {got}, wanted {want}");
                    assert_eq!(gpu.tokens[2 * answer..][..2], cpu.tokens[2 * answer..][..2]);
                    let range = answer * vocab..(answer + 1) * vocab;
                    assert_eq!(gpu.counts[range.clone()], cpu.counts[range], "{what}");
                }
                for (got, want) in gpu.top.iter().zip(&cpu.top) {
                    assert_eq!(got.0, want.0, "{what}");
                    assert!(got.0 < 0 || (got.1 - want.1).abs() < 1e-4, "{what}");
                }
            }
        }
    }
    assert!(near * 50 <= runs, "{near} of {runs} draws differ");
    eprintln!("{near} of {runs} draws differ by rounding");
}

#[test]
fn ties_infinities_and_no_number_at_all() {
    let Some(devices) = devices() else { return };
    for device in [&devices.gpu.device, &devices.cpu.device] {
        let pick = |scores: &[f32], settings: Settings| {
            VOCAB_OF.set(scores.len());
            run(
                device,
                scores,
                &vec![0; scores.len()],
                &settings,
                [1, 2, 3, 4],
                0,
            )
            .ids[0]
        };
        let low = f32::NEG_INFINITY;
        assert_eq!(pick(&[1.0, 3.0, 3.0, 2.0], GREEDY), 1);
        assert_eq!(pick(&[low, low, -5.0, low], GREEDY), 2);
        assert_eq!(pick(&[low, low, -5.0, low], DRAW), 2);
        assert_eq!(pick(&[f32::NAN, 1.0, f32::NAN], GREEDY), 1);
        assert_eq!(
            pick(&[f32::NAN, 1.0, f32::NAN], Settings { top_p: 0.5, ..DRAW }),
            1
        );
        assert_eq!(pick(&[low, low], DRAW), -1);
        assert_eq!(pick(&[f32::NAN, f32::NAN], GREEDY), -1);
        // Of many equal tokens, the first ones are kept.
        let flat = vec![0.5; 5000];
        assert!((0..3).contains(&pick(&flat, Settings { top_k: 3, ..DRAW })));
        assert!((0..500).contains(&pick(&flat, Settings { top_p: 0.1, ..DRAW })));
        assert!((0..2000).contains(&pick(
            &flat,
            Settings {
                top_k: 2000,
                ..DRAW
            }
        )));
    }
}

#[test]
fn a_draw_depends_on_seed_step_and_answer_alone() {
    let Some(devices) = devices() else { return };
    let vocab = 2000;
    VOCAB_OF.set(vocab);
    let scores = spread(5, vocab, 3.0);
    let batch = [scores.clone(), scores.clone(), scores.clone()].concat();
    for device in [&devices.gpu.device, &devices.cpu.device] {
        let together = run(
            device,
            &batch,
            &vec![0; 3 * vocab],
            &DRAW,
            [9, 0, 5, 100],
            0,
        )
        .ids;
        for (answer, id) in together.iter().enumerate() {
            let key = [9, 0, 5, 100 + answer as i32];
            assert_eq!(
                run(device, &scores, &vec![0; vocab], &DRAW, key, 0).ids[0],
                *id
            );
        }
        let others = [[8, 0, 5, 100], [9, 1, 5, 100], [9, 0, 6, 100]];
        let changed = others.map(|key| run(device, &scores, &vec![0; vocab], &DRAW, key, 0).ids[0]);
        assert!(
            changed.iter().filter(|id| **id != together[0]).count() >= 2,
            "{changed:?}"
        );
    }
}

#[test]
fn draws_follow_the_truncated_distribution() {
    let Some(devices) = devices() else { return };
    let scores: Vec<f32> = (0..40).map(|i| -0.15 * i as f32).collect();
    VOCAB_OF.set(scores.len());
    let settings = Settings {
        top_p: 0.9,
        top_k: 12,
        temperature: 1.3,
        ..DRAW
    };
    let kept = kept(&scores, &settings);
    let weights: Vec<f64> = kept
        .iter()
        .map(|id| (f64::from(scores[*id]) / 1.3).exp())
        .collect();
    let whole: f64 = weights.iter().sum();
    for (device, draws) in [(&devices.gpu.device, 30), (&devices.cpu.device, 120)] {
        // Many answers in one batch are many independent draws.
        let answers = 100;
        let batch = scores.repeat(answers);
        let mut seen = vec![0u32; scores.len()];
        for step in 0..draws {
            let key = [1, 2, step, 0];
            let outcome = run(device, &batch, &vec![0; batch.len()], &settings, key, 0);
            outcome.ids.iter().for_each(|id| seen[*id as usize] += 1);
        }
        let total = f64::from(draws) * answers as f64;
        let chi_square: f64 = kept
            .iter()
            .zip(&weights)
            .map(|(id, weight)| {
                let expected = total * weight / whole;
                (f64::from(seen[*id]) - expected).powi(2) / expected
            })
            .sum();
        // The 99.99% quantile with at most 11 degrees of freedom is 37.4; seeds are fixed.
        assert!(chi_square < 37.4, "{chi_square} {seen:?}");
        let outside: u32 = (0..scores.len())
            .filter(|id| !kept.contains(id))
            .map(|id| seen[id])
            .sum();
        assert_eq!(outside, 0, "{seen:?}");
    }
}

#[test]
fn guidance_equals_its_twin() {
    let Some(devices) = devices() else { return };
    for vocab in [1, 255, 256, 257, 49_152] {
        let mut logits = spread(3, 3 * vocab, 30.0);
        if vocab > 255 {
            logits[0] = f32::NEG_INFINITY;
            logits[vocab + 1] = f32::NEG_INFINITY;
            logits[2 * vocab + 2] = f32::INFINITY;
        }
        for beta in [0.0, 0.1] {
            let settings = Settings { beta, ..GREEDY };
            let run = |device: &Device| {
                poison(device);
                let guided = guidance(
                    floats(&logits, [3, vocab], device),
                    ints(&[1, 0, 2, 0, 2, 1], [2, 3], device),
                    floats(&[1.0, -4.65, 0.5, 1.0, 2.0, -1.0], [2, 3], device),
                    settings.tensor(device),
                    Guards::default(),
                );
                assert_eq!(values(guided.leaning), [1.0, -1.0, 1.0, -1.0]);
                values(guided.scores)
            };
            let (gpu, cpu) = (run(&devices.gpu.device), run(&devices.cpu.device));
            let what = format!("guidance {vocab} {beta}");
            compare(&what, &devices.gpu.info.name, &gpu, &cpu, 1e-5).unwrap();
            if vocab > 255 {
                // Row 1 is the first answer's anchor: what row 0 forbids counts no difference there.
                let anchor = logits[vocab];
                let rest = 0.5 * (logits[2 * vocab] - anchor);
                let is_cut = cpu[0] < -1e38;
                assert!(is_cut == (beta > 0.0) || (cpu[0] - anchor - rest).abs() < 1e-3);
                assert!(cpu[1] == f32::NEG_INFINITY || cpu[1] < -1e38);
            }
        }
    }
}

/// KL divergence of softmax(anchor + t d) from softmax(anchor), in f64.
fn divergence(anchor: &[f32], difference: &[f64], t: f64) -> f64 {
    let log_softmax = |t: f64| -> Vec<f64> {
        let scores = anchor.iter().zip(difference);
        let scores: Vec<f64> = scores.map(|(a, d)| f64::from(*a) + t * d).collect();
        let highest = scores.iter().copied().fold(f64::MIN, f64::max);
        let log_z = scores.iter().map(|s| (s - highest).exp()).sum::<f64>().ln() + highest;
        scores.iter().map(|s| s - log_z).collect()
    };
    let (policy, rest) = (log_softmax(t), log_softmax(0.0));
    let terms = policy.iter().zip(&rest).filter(|(p, _)| p.is_finite());
    terms.map(|(p, q)| p.exp() * (p - q)).sum()
}

/// The strength controller: both implementations keep within the budget and leave none of it, hit pref at 0 and full
/// strength at infinity, and report the KL that there is.
#[test]
fn the_strength_controller_spends_its_budget() {
    let Some(devices) = devices() else { return };
    let k = 4.6487f32;
    for (vocab, size) in [(2, 1.0), (257, 4.0), (49_152, 0.5), (49_152, 12.0)] {
        let logits = spread(7, 2 * vocab, size);
        let (base, pref) = logits.split_at(vocab);
        let pairs = pref.iter().zip(base);
        let difference: Vec<f64> = pairs.map(|(p, b)| f64::from(k * (p - b))).collect();
        let full = divergence(pref, &difference, 1.0);
        for budget in [0.0, 0.01, 0.1, 1.0, 3.0, f32::MAX] {
            let settings = Settings {
                kl_budget: budget,
                ..GREEDY
            };
            for (name, device) in [("GPU", &devices.gpu), ("CPU", &devices.cpu)] {
                let device = &device.device;
                poison(device);
                let guided = guidance(
                    floats(&logits, [2, vocab], device),
                    ints(&[1, 0], [1, 2], device),
                    floats(&[1.0, -k], [1, 2], device),
                    settings.tensor(device),
                    Guards {
                        evaluations: if budget == f32::MAX { 1 } else { 12 },
                        ..Guards::default()
                    },
                );
                let leaning = values(guided.leaning);
                let (t, kl) = (f64::from(leaning[0]), f64::from(leaning[1]));
                let what =
                    format!("{name}, vocab {vocab}, size {size}, budget {budget}: t {t} KL {kl}");
                let have = divergence(pref, &difference, t);
                assert!(have <= f64::from(budget) + 1e-3, "{what}, in truth {have}");
                assert!(
                    (have - kl).abs() < 1e-3 * have.max(1.0),
                    "{what}, in truth {have}"
                );
                let want = full.min(f64::from(budget));
                assert!(
                    have >= want - 0.01 * want - 1e-3,
                    "{what}: {want} was to be had"
                );
                if budget == 0.0 {
                    assert_eq!(t, 0.0, "{what}");
                }
                if full <= f64::from(budget) {
                    assert_eq!(t, 1.0, "{what}");
                }
                let scores = values(guided.scores);
                for (id, score) in scores.iter().enumerate() {
                    let want = f64::from(pref[id]) + t * difference[id];
                    let near = 1e-4 * want.abs().max(1.0);
                    assert!((f64::from(*score) - want).abs() < near, "{what}: {id}");
                }
            }
        }
    }
}

/// The scores and [t, KL] of one answer whose anchor is row 0 of `logits [rows, vocab]`, with these weights.
fn lean(
    device: &Device,
    logits: &[f32],
    weights: &[f32],
    settings: &Settings,
    guards: Guards,
) -> (Vec<f32>, [f32; 2]) {
    let rows: Vec<i32> = (0..weights.len() as i32).collect();
    let vocab = logits.len() / rows.len();
    poison(device);
    let guided = guidance(
        floats(logits, [rows.len(), vocab], device),
        ints(&rows, [1, rows.len()], device),
        floats(weights, [1, rows.len()], device),
        settings.tensor(device),
        guards,
    );
    let leaning = values(guided.leaning);
    (values(guided.scores), [leaning[0], leaning[1]])
}

/// Probabilities in f64; what is not finite has none.
fn softmax(logits: &[f32]) -> Vec<f64> {
    let usable = |l: &f32| l.is_finite() && *l > -3.4e38;
    let highest = logits
        .iter()
        .copied()
        .filter(usable)
        .fold(f32::MIN, f32::max);
    let weight = |l: &f32| match usable(l) {
        true => (f64::from(*l) - f64::from(highest)).exp(),
        false => 0.0,
    };
    let sum: f64 = logits.iter().map(weight).sum();
    logits.iter().map(|l| weight(l) / sum).collect()
}

/// Whether each token is in the nucleus, by a full sort in f64.
fn in_nucleus(logits: &[f32], share: f64) -> Vec<bool> {
    let probabilities = softmax(logits);
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]).then(a.cmp(b)));
    order.retain(|id| probabilities[*id] > 0.0 || logits[*id].is_finite());
    let mut kept = vec![false; logits.len()];
    let mut before = 0.0;
    for (place, id) in order.into_iter().enumerate() {
        kept[id] = place == 0 || before < share;
        before += probabilities[id];
    }
    kept
}

/// Both implementations keep what a full sort in float64 keeps, to a hundred-thousandth of the mass at the edge, change
/// nothing else, and at 1 nothing at all.
#[test]
fn the_nucleus_is_the_smallest_set_that_reaches_its_mass() {
    let Some(devices) = devices() else { return };
    let halves = |logits: Vec<f32>| logits.iter().map(|l| (l * 2.0).round() / 2.0).collect();
    let mut cases: Vec<(&str, Vec<f32>)> = vec![
        ("one token", vec![-3.0]),
        ("two", vec![-1.0, 0.5]),
        (
            "below 0",
            spread(1, 257, 4.0).iter().map(|l| l - 50.0).collect(),
        ),
        ("steep", spread(2, 49_152, 30.0)),
        ("even", spread(3, 49_152, 0.5)),
        ("steps", halves(spread(4, 49_152, 6.0))),
        ("all alike", vec![0.25; 5000]),
        ("all alike and below 0", vec![-7.5; 151_936]),
        ("the last alone", [vec![0.0; 999], vec![40.0]].concat()),
    ];
    let mut holes = spread(5, 1000, 5.0);
    holes[3] = f32::NEG_INFINITY;
    holes[10] = f32::NAN;
    holes[999] = f32::NEG_INFINITY;
    cases.push(("holes", holes));
    for (case, anchor) in cases {
        let vocab = anchor.len();
        let other = spread(9, vocab, 5.0);
        let logits = [anchor.clone(), other].concat();
        let weights = [1.0, -4.65];
        for (name, device) in [("GPU", &devices.gpu.device), ("CPU", &devices.cpu.device)] {
            let run = |nucleus: f32, beta: f32, is_on: bool| {
                let settings = Settings {
                    nucleus,
                    beta,
                    ..GREEDY
                };
                let guards = Guards {
                    nucleus: is_on,
                    ..Guards::default()
                };
                let (scores, leaning) = lean(device, &logits, &weights, &settings, guards);
                assert_eq!(leaning, [1.0, -1.0]);
                scores
            };
            let bits = |scores: &[f32]| -> Vec<u32> {
                let of = |s: &f32| if s.is_nan() { u32::MAX } else { s.to_bits() };
                scores.iter().map(of).collect()
            };
            let plain = run(1.0, 0.0, false);
            assert_eq!(
                bits(&run(1.0, 0.0, true)),
                bits(&plain),
                "{name}, {case}: 1"
            );
            assert_eq!(
                bits(&run(0.5, 0.0, false)),
                bits(&plain),
                "{name}, {case}: off"
            );
            for nucleus in [1e-6f32, 0.1, 0.5, 0.8, 0.999] {
                let scores = run(nucleus, 0.0, true);
                let least = in_nucleus(&anchor, f64::from(nucleus) - 1e-5);
                let most = in_nucleus(&anchor, f64::from(nucleus) + 1e-5);
                for id in 0..vocab {
                    let what = format!("{name}, {case}, nucleus {nucleus}, token {id}");
                    let is_kept = scores[id] > -3.3e38;
                    assert!(is_kept || !least[id], "{what} is missing");
                    assert!(!is_kept || most[id], "{what} is too much");
                    if is_kept {
                        assert_eq!(scores[id].to_bits(), plain[id].to_bits(), "{what}");
                    }
                }
                // With plausibility, what both keep.
                let (plausible, both) = (run(1.0, 0.05, false), run(nucleus, 0.05, true));
                for id in 0..vocab {
                    let wanted = scores[id] > -3.3e38 && plausible[id] > -3.3e38;
                    let what = format!("{name}, {case}, nucleus {nucleus}, token {id} of both");
                    assert_eq!(both[id] > -3.3e38, wanted, "{what}");
                }
            }
        }
    }
}

/// The share that follows the disagreement: JSD / ln 2 by its definition in float64, exactly 0 for equal streams, 1 for
/// streams without a token in common, and under a budget the lower of both.
#[test]
fn the_adaptive_share_is_the_divergence() {
    let Some(devices) = devices() else { return };
    let divergence_of = |p: &[f32], b: &[f32]| -> f64 {
        let (p, b) = (softmax(p), softmax(b));
        let half = |of: &[f64]| -> f64 {
            let terms = of.iter().zip(p.iter().zip(&b)).filter(|(x, _)| **x > 0.0);
            terms
                .map(|(x, (p, b))| x * (x / ((p + b) / 2.0)).ln())
                .sum()
        };
        (half(&p) + half(&b)) / 2.0 / std::f64::consts::LN_2
    };
    let jsd = Guards {
        jsd: true,
        ..Guards::default()
    };
    let k = 4.6487f32;
    for vocab in [2, 257, 49_152] {
        let pref = spread(21, vocab, 8.0);
        let mut holes = spread(22, vocab, 8.0);
        holes[0] = f32::NEG_INFINITY;
        holes[vocab - 1] = f32::NAN;
        let near: Vec<f32> = pref
            .iter()
            .zip(spread(23, vocab, 0.02))
            .map(|(l, d)| l + d)
            .collect();
        let moved: Vec<f32> = pref.iter().map(|l| l + 3.0).collect();
        let apart = |of: usize| -> Vec<f32> {
            let side = (0..vocab).map(|id| if id % 2 == of { pref[id] } else { -1e4 });
            side.collect()
        };
        for (case, pref, base) in [
            ("equal", pref.clone(), pref.clone()),
            ("moved", pref.clone(), moved),
            ("near", pref.clone(), near),
            ("far", pref.clone(), spread(24, vocab, 8.0)),
            ("even", pref.clone(), vec![0.0; vocab]),
            ("holes", pref.clone(), holes),
            ("apart", apart(0), apart(1)),
        ] {
            if case == "holes" && vocab == 2 {
                // Nothing would be left.
                continue;
            }
            let logits = [pref.clone(), base.clone()].concat();
            let want = divergence_of(&pref, &base);
            for (name, device) in [("GPU", &devices.gpu.device), ("CPU", &devices.cpu.device)] {
                let (scores, [t, kl]) = lean(device, &logits, &[1.0, -k], &GREEDY, jsd);
                let what = format!("{name}, vocab {vocab}, {case}: t {t}, wanted {want}");
                let (t, near) = (f64::from(t), 1e-6 + 1e-4 * want);
                assert!(
                    (t - want).abs() <= near && (0.0..=1.0).contains(&t),
                    "{what}"
                );
                assert_eq!(kl, -1.0);
                if case == "equal" {
                    assert_eq!(t, 0.0, "{what}");
                }
                if case == "apart" {
                    assert!(t > 0.9999, "{what}");
                }
                for id in 0..vocab {
                    let difference = match (pref[id] - base[id]).is_finite() {
                        true => f64::from(k) * f64::from(pref[id] - base[id]),
                        false => 0.0,
                    };
                    let want = f64::from(pref[id]) + t * difference;
                    let near = 1e-4 * want.abs().max(1.0);
                    assert!((f64::from(scores[id]) - want).abs() < near, "{what}: {id}");
                }
                if case == "holes" || case == "apart" {
                    continue;
                }
                // A budget lowers it further, or not at all.
                let pairs = pref.iter().zip(&base);
                let difference: Vec<f64> = pairs.map(|(p, b)| f64::from(k * (p - b))).collect();
                let full = divergence(&pref, &difference, t);
                for budget in [0.0, 0.01, 0.3, f32::MAX] {
                    let settings = Settings {
                        kl_budget: budget,
                        ..GREEDY
                    };
                    let evaluations = if budget == f32::MAX { 1 } else { 12 };
                    let both = Guards { evaluations, ..jsd };
                    let (_, leaning) = lean(device, &logits, &[1.0, -k], &settings, both);
                    let [capped, kl] = leaning.map(f64::from);
                    let what = format!("{what}, budget {budget}: t {capped} KL {kl} of {full}");
                    let have = divergence(&pref, &difference, capped);
                    assert!(capped <= t && have <= f64::from(budget) + 1e-3, "{what}");
                    assert!(
                        (have - kl).abs() < 1e-3 * have.max(1.0),
                        "{what}, in truth {have}"
                    );
                    let most = full.min(f64::from(budget));
                    assert!(have >= most - 0.01 * most - 1e-3, "{what}, in truth {have}");
                    if full < f64::from(budget) - 1e-3 {
                        assert_eq!(capped, t, "{what}");
                    }
                }
            }
        }
        // Of three streams there is no such share.
        let three = spread(25, 3 * vocab, 4.0);
        for device in [&devices.gpu.device, &devices.cpu.device] {
            let (_, leaning) = lean(device, &three, &[1.0, -1.0, 0.5], &GREEDY, jsd);
            assert_eq!(leaning, [1.0, -1.0]);
        }
    }
}

/// All guards together: WGSL and its twin.
#[test]
fn all_guards_together_equal_their_twins() {
    let Some(devices) = devices() else { return };
    for vocab in [1, 255, 256, 257, 49_152] {
        for size in [1.0, 12.0] {
            let logits = spread(31, 2 * vocab, size);
            let settings = Settings {
                beta: 1e-3,
                nucleus: 0.9,
                kl_budget: 0.2,
                ..GREEDY
            };
            let guards = Guards {
                nucleus: true,
                jsd: true,
                evaluations: 12,
            };
            let run = |device: &Device| lean(device, &logits, &[1.0, -2.0], &settings, guards);
            let (gpu, cpu) = (run(&devices.gpu.device), run(&devices.cpu.device));
            let what = format!("guards, vocab {vocab}, size {size}");
            compare(&what, &devices.gpu.info.name, &gpu.1, &cpu.1, 5e-3).unwrap();
            let differ = (0..vocab).filter(|id| (gpu.0[*id] > -3.3e38) != (cpu.0[*id] > -3.3e38));
            assert!(differ.count() <= 2, "{what}: kept sets differ");
            for (scores, [t, _]) in [gpu, cpu] {
                for id in (0..vocab).filter(|id| scores[*id] > -3.3e38) {
                    let (p, b) = (logits[id], logits[vocab + id]);
                    let want = p + t * 2.0 * (p - b);
                    let near = 1e-4 * want.abs().max(1.0);
                    assert!((scores[id] - want).abs() < near, "{what}: {id}");
                }
            }
        }
    }
}

#[test]
fn log_probs_equal_their_twin_and_f64() {
    let Some(devices) = devices() else { return };
    for (rows, vocab) in [(1, 1), (3, 255), (2, 257), (64, 1000), (2, 49_152)] {
        let logits = spread(11, rows * vocab, 20.0);
        let targets: Vec<i32> = (0..rows).map(|row| (row * 31 % vocab) as i32).collect();
        for (name, device) in [("GPU", &devices.gpu), ("CPU", &devices.cpu)] {
            let device = &device.device;
            poison(device);
            let got = values(log_probs(
                floats(&logits, [rows, vocab], device),
                ints(&targets, [rows], device),
            ));
            for (row, (got, target)) in got.iter().zip(&targets).enumerate() {
                let row = &logits[row * vocab..][..vocab];
                let highest = row.iter().copied().fold(f32::MIN, f32::max);
                let sum: f64 = row.iter().map(|l| f64::from(l - highest).exp()).sum();
                let want = f64::from(row[*target as usize] - highest) - sum.ln();
                assert!(
                    (f64::from(*got) - want).abs() < 1e-4,
                    "{name} {vocab}: {got} {want}"
                );
            }
        }
    }
}

proptest! {
    /// The twin keeps exactly what a full sort keeps: whatever it draws lies there, and with one token kept it draws
    /// that one.
    #[test]
    fn the_twin_keeps_what_a_full_sort_keeps(
        scores in prop::collection::vec(-8.0f32..8.0, 1..3000),
        temperature in 0.1f32..4.0,
        top_k in 0usize..2500,
        top_p in 0.01f32..=1.0,
        min_p in 0.0f32..0.5,
        step: i32,
    ) {
        let device = pollster::block_on(device::open(DeviceChoice::Cpu)).unwrap().device;
        VOCAB_OF.set(scores.len());
        let settings = Settings { temperature, top_k, top_p, min_p, ..DRAW };
        let counts = vec![0; scores.len()];
        // Settings a hair wider and narrower: f32 and f64 may disagree on the token at the edge.
        let wide = Settings { top_p: (top_p * 1.0001).min(1.0), min_p: min_p * 0.9999, ..settings };
        let kept = kept(&scores, &wide);
        for shift in 0..4 {
            let key = [7, 7, step.wrapping_add(shift), 0];
            let id = run(&device, &scores, &counts, &settings, key, 0).ids[0];
            prop_assert!(kept.contains(&(id as usize)), "{} of {:?}", id, settings);
        }
    }
}
