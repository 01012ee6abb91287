//! Attention and what goes into its cache: the GPU's kernels against their CPU twins, and both against sums in f64.

use crate::common::{compare, devices, floats, int_values, ints, poison, random, values};
use burn::tensor::{Device, Int, Tensor};
use periapt_core::kernels::{AttentionShape, CacheShape, PAGE, QkvShape, cache};

/// One run of rope_write and attention over ragged rows that share a page, on one device.
struct Attended {
    qkv: Vec<f32>,
    adjust: Vec<f32>,
    q: Vec<f32>,
    cache: Vec<i32>,
    out: Vec<f32>,
}

const POSITIONS: usize = 256;

/// Any angle for line `i / (head_dim / 2)`, pair `i % (head_dim / 2)` of the table.
fn angle(i: usize) -> f64 {
    (i * i % 1000) as f64 * 0.01
}

struct Rows {
    /// Each row's pages.
    pages: [[i32; 3]; 3],
    /// (row, position) of each token written and attending.
    tokens: Vec<(usize, usize)>,
}

impl Rows {
    /// Rows 0 and 1 share their first page; row 0 is longest.
    fn new(shape: CacheShape) -> (Self, usize) {
        let pages = [[4, 2, 0], [4, 1, 0], [3, 0, 0]];
        let mut tokens: Vec<(usize, usize)> = (0..150).map(|at| (0, at)).collect();
        tokens.extend((64..70).map(|at| (1, at)));
        tokens.extend((0..1).map(|at| (2, at)));
        (Self { pages, tokens }, 6 * shape.page_words())
    }

    fn slot(&self, (row, at): (usize, usize)) -> i32 {
        self.pages[row][at / PAGE] * PAGE as i32 + (at % PAGE) as i32
    }
}

fn attend(
    device: &Device,
    shape: CacheShape,
    of_qkv: QkvShape,
    spread: AttentionShape,
) -> Attended {
    let (heads, queries) = (of_qkv.heads, spread.queries);
    let (rows, words) = Rows::new(shape);
    let count = rows.tokens.len();
    let qkv = random(
        11,
        count * (heads + 2 * shape.kv_heads) * shape.head_dim,
        2.0,
    );
    let table: Vec<f32> = (0..POSITIONS * shape.head_dim / 2)
        .flat_map(|i| {
            let (sin, cos) = angle(i).sin_cos();
            [cos as f32, sin as f32]
        })
        .collect();
    poison(device);
    let positions: Vec<i32> = rows.tokens.iter().map(|(_, at)| *at as i32).collect();
    let slots: Vec<i32> = rows.tokens.iter().map(|token| rows.slot(*token)).collect();
    let cached = Tensor::<1, Int>::zeros([words], (device, burn::tensor::DType::I32));
    let width = (heads + 2 * shape.kv_heads) * shape.head_dim;
    let mut adjust = random(12, if of_qkv.bias { width } else { 0 }, 1.0);
    if of_qkv.norm.is_some() {
        adjust.extend(random(13, 2 * shape.head_dim, 2.0));
    }
    adjust.resize(adjust.len().max(1), 0.0);
    let (q, cached) = cache::rope_write(
        floats(&qkv, [count, width], device),
        floats(&adjust, [adjust.len()], device),
        floats(&table, [POSITIONS, shape.head_dim], device),
        ints(&positions, [count], device),
        ints(&slots, [count], device),
        cached,
        shape,
        of_qkv,
    );
    // Tiles of up to `queries` tokens of one row.
    let mut tiles: Vec<i32> = Vec::new();
    let mut first = 0;
    while first < count {
        let (row, at) = rows.tokens[first];
        let same = rows.tokens[first..]
            .iter()
            .take(queries)
            .take_while(|(r, _)| *r == row)
            .count();
        tiles.extend([first as i32, same as i32, at as i32, 3 * row as i32]);
        first += same;
    }
    let out = cache::attention(
        q.clone(),
        cached.clone(),
        ints(rows.pages.as_flattened(), [9], device),
        ints(&tiles, [tiles.len() / 4, 4], device),
        shape,
        spread,
    );
    Attended {
        qkv,
        adjust,
        q: values(q),
        cache: int_values(cached),
        out: values(out),
    }
}

/// Attention in f64 from the cache's own words.
fn attention_reference(
    attended: &Attended,
    shape: CacheShape,
    heads: usize,
    window: usize,
) -> Vec<f32> {
    let (rows, _) = Rows::new(shape);
    let (hd, words) = (shape.head_dim, shape.head_words());
    let load = |value: usize, head: usize, slot: usize, dim: usize| -> f64 {
        let (page, place) = (slot / PAGE, slot % PAGE);
        let at = ((page * 2 + value) * shape.kv_heads + head) * words * PAGE;
        let word = if shape.f16 { dim / 2 } else { dim };
        let inside = if value == 1 {
            place * words + word
        } else {
            word * PAGE + place
        };
        let bits = attended.cache[at + inside] as u32;
        match shape.f16 {
            true => half::f16::from_bits((bits >> (16 * (dim % 2))) as u16).to_f64(),
            false => f64::from(f32::from_bits(bits)),
        }
    };
    let mut out = Vec::new();
    for (token, (row, at)) in rows.tokens.iter().enumerate() {
        for head in 0..heads {
            let q = &attended.q[(token * heads + head) * hd..][..hd];
            let kv_head = head / (heads / shape.kv_heads);
            let first = match window {
                0 => 0,
                window => (at + 1).saturating_sub(window),
            };
            let scores: Vec<f64> = (first..=*at)
                .map(|j| {
                    let slot = rows.slot((*row, j)) as usize;
                    let terms = (0..hd).map(|d| f64::from(q[d]) * load(0, kv_head, slot, d));
                    terms.sum::<f64>() / (hd as f64).sqrt()
                })
                .collect();
            let highest = scores.iter().copied().fold(f64::MIN, f64::max);
            let total: f64 = scores.iter().map(|s| (s - highest).exp()).sum();
            out.extend((0..hd).map(|d| {
                let terms = scores.iter().enumerate().map(|(j, s)| {
                    let slot = rows.slot((*row, first + j)) as usize;
                    (s - highest).exp() / total * load(1, kv_head, slot, d)
                });
                terms.sum::<f64>() as f32
            }));
        }
    }
    out
}

/// Whether the cache is f16, and the window: none, one within a page, one over several.
const CACHES: [(bool, usize); 4] = [(true, 0), (false, 0), (true, 20), (false, 100)];

#[test]
fn attention_over_shared_pages() {
    let Some(devices) = devices() else { return };
    // The odd shapes with one cache each: a software adapter takes seconds to compile each.
    for (kv_heads, head_dim, group, caches) in [
        (3, 64, 3, &CACHES[..]),
        (1, 128, 4, &CACHES),
        (1, 16, 1, &CACHES[..1]),
        (1, 80, 7, &CACHES[3..]),
    ] {
        for &(f16, window) in caches {
            let shape = CacheShape {
                kv_heads,
                head_dim,
                f16,
            };
            let heads = kv_heads * group;
            let of_qkv = QkvShape {
                heads,
                bias: false,
                norm: None,
            };
            let spread = |queries, splits, lanes, subgroup| AttentionShape {
                heads,
                window,
                queries,
                splits,
                lanes,
                subgroup,
            };
            let cpu = attend(&devices.cpu.device, shape, of_qkv, spread(1, 1, 64, false));
            let want = attention_reference(&cpu, shape, heads, window);
            compare("attention", "CPU", &cpu.out, &want, 2e-5).unwrap();
            let most = (16 / group).max(1);
            let subgroup = devices.gpu.subgroup;
            let mut spreads = vec![
                spread(1, 3, 64, false),
                spread(most, 1, 64, false),
                spread(2, 1, 8, false),
            ];
            if subgroup > 0 && subgroup <= 32 && head_dim % subgroup == 0 {
                spreads.extend([spread(1, 3, subgroup, true), spread(2, 1, subgroup, true)]);
            }
            for spread in spreads {
                let what = format!("{shape:?} {spread:?}");
                let gpu = attend(&devices.gpu.device, shape, of_qkv, spread);
                let adapter = &devices.gpu.info.name;
                compare(&format!("rope {what}"), adapter, &gpu.q, &cpu.q, 1e-5).unwrap();
                // The cache is compared through what attention reads from it, and its untouched words.
                let want = attention_reference(&gpu, shape, heads, window);
                compare(&format!("attention {what}"), adapter, &gpu.out, &want, 5e-5).unwrap();
                compare(&format!("both {what}"), adapter, &gpu.out, &cpu.out, 2e-3).unwrap();
                let touched = |cache: &[i32]| cache.iter().filter(|word| **word != 0).count();
                assert_eq!(touched(&gpu.cache), touched(&cpu.cache), "{what}");
            }
        }
    }
}

/// The queries of token 0, which stands at position 0, by hand.
fn first_query(qkv: &[f32], adjust: &[f32], of_qkv: QkvShape, shape: CacheShape) -> Vec<f32> {
    let (hd, width) = (
        shape.head_dim,
        (of_qkv.heads + 2 * shape.kv_heads) * shape.head_dim,
    );
    let (bias, gains) = adjust.split_at(if of_qkv.bias { width } else { 0 });
    let mut q = Vec::new();
    for head in 0..of_qkv.heads {
        let values: Vec<f64> = (head * hd..(head + 1) * hd)
            .map(|i| f64::from(qkv[i]) + bias.get(i).copied().map_or(0.0, f64::from))
            .collect();
        let scale = of_qkv.norm.map(|epsilon| {
            let mean = values.iter().map(|x| x * x).sum::<f64>() / hd as f64;
            (mean + f64::from(epsilon)).sqrt().recip()
        });
        let adjusted = values.iter().enumerate().map(|(i, x)| match scale {
            Some(scale) => x * scale * f64::from(gains[i]),
            None => *x,
        });
        let adjusted: Vec<f64> = adjusted.collect();
        for (pair, x) in adjusted.chunks_exact(2).enumerate() {
            let (sin, cos) = angle(pair).sin_cos();
            q.extend([x[0] * cos - x[1] * sin, x[0] * sin + x[1] * cos].map(|x| x as f32));
        }
    }
    q
}

#[test]
fn biases_and_norms_of_heads() {
    let Some(devices) = devices() else { return };
    for (kv_heads, head_dim, group) in [(2, 64, 3), (1, 256, 2), (1, 16, 1)] {
        for (bias, norm) in [(true, None), (false, Some(1e-6)), (true, Some(1e-2))] {
            let shape = CacheShape {
                kv_heads,
                head_dim,
                f16: false,
            };
            let heads = kv_heads * group;
            let of_qkv = QkvShape { heads, bias, norm };
            let spread = AttentionShape {
                heads,
                window: 0,
                queries: 1,
                splits: 1,
                lanes: 64,
                subgroup: false,
            };
            let what = format!("{shape:?} {of_qkv:?}");
            let cpu = attend(&devices.cpu.device, shape, of_qkv, spread);
            let by_hand = first_query(&cpu.qkv, &cpu.adjust, of_qkv, shape);
            compare(&what, "CPU", &cpu.q[..by_hand.len()], &by_hand, 1e-5).unwrap();
            let gpu = attend(&devices.gpu.device, shape, of_qkv, spread);
            let adapter = &devices.gpu.info.name;
            compare(&what, adapter, &gpu.q, &cpu.q, 1e-5).unwrap();
            let floats = |cache: &[i32]| -> Vec<f32> {
                cache
                    .iter()
                    .map(|word| f32::from_bits(*word as u32))
                    .collect()
            };
            let (got, want) = (floats(&gpu.cache), floats(&cpu.cache));
            compare(&format!("cache {what}"), adapter, &got, &want, 1e-5).unwrap();
        }
    }
}
