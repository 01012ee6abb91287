//! The WGSL implementations, launched through cubecl on the wgpu backend.
//!
//! Every binding is `read_write`: natively cubecl places many tensors in one buffer, and one
//! buffer may not be bound both for reading and for writing in a dispatch.

mod launch;
pub(super) mod stats;

pub(super) use launch::{binding_bytes, flush, is_gpu};

use super::Variant;
use super::ops::{AttentionShape, CacheShape, Guards, Ops, Product, QkvShape};
use super::pack::layout;
use burn::tensor::DType;
use burn_wgpu::{CubeBackend, CubeTensor};
use launch::{Values, empty, launch};
use periapt_shaders::{
    ATTENTION, ATTENTION_COMBINE, COPY, COPY_PAGE, EMBED, FMA_CHAIN, GUIDANCE, LOG_PROBS, MATMUL,
    MATVEC, ROPE_WRITE, SAMPLE, SAMPLE_SUMMARY,
};

/// Workgroups that share one answer's vocabulary.
const GUIDANCE_SHARES: usize = 16;

/// Workgroups that look at one answer's scores before one chooses.
const SAMPLE_SHARES: usize = 64;

/// Rows that one workgroup takes at once.
const MATVEC_ROWS: usize = 8;

/// What the matrix kernel does beside the product.
#[derive(Default)]
struct Fused<'a> {
    norm: Option<(&'a CubeTensor, f32)>,
    residual: Option<&'a CubeTensor>,
    gate: bool,
}

fn product(x: &CubeTensor, words: &CubeTensor, product: Product, fused: Fused<'_>) -> CubeTensor {
    let tokens = x.meta.shape()[0];
    let width = product.outputs / if fused.gate { 2 } else { 1 };
    let y = empty(x, &[tokens, width]);
    let variant = product.variant;
    let after = match (fused.gate, fused.residual) {
        (true, _) => "silu_mul",
        (false, Some(_)) => "add",
        (false, None) => "none",
    };
    let epsilon = fused.norm.map_or(0.0, |(_, epsilon)| epsilon);
    let mut values = vec![
        ("dtype", layout(product.dtype).name.into()),
        ("inputs", product.inputs.into()),
        ("outputs", product.outputs.into()),
        ("norm", fused.norm.is_some().into()),
        ("after", after.into()),
        ("epsilon", epsilon.into()),
    ];
    let mut bindings = vec![words, x];
    bindings.extend(fused.norm.map(|(gain, _)| gain));
    bindings.extend(fused.residual);
    bindings.push(&y);
    if variant.tiled && tokens > Variant::TILED_ABOVE {
        let rows = if tokens > 32 { 64 } else { 32 };
        let columns = if fused.gate { 32 } else { 64 };
        values.push(("tokens", rows.into()));
        let workgroups = [width.div_ceil(columns), tokens.div_ceil(rows), 1];
        launch(MATMUL, values, &bindings, workgroups);
        return y;
    }
    // The gate doubles an invocation's outputs.
    let outs = if fused.gate {
        (variant.outs / 2).max(1)
    } else {
        variant.outs
    };
    values.extend([
        ("rows", tokens.min(MATVEC_ROWS).into()),
        ("lanes", variant.lanes.into()),
        ("slices", variant.slices.into()),
        ("outs", outs.into()),
        ("subgroup", variant.subgroup.into()),
    ]);
    let workgroups = matvec_workgroups(width, tokens, variant, outs);
    launch(MATVEC, values, &bindings, workgroups);
    y
}

/// One for each slice of outputs and each batch of rows.
fn matvec_workgroups(width: usize, tokens: usize, variant: Variant, outs: usize) -> [usize; 3] {
    let rows = tokens.min(MATVEC_ROWS);
    [
        width.div_ceil(variant.lanes * outs),
        tokens.div_ceil(rows),
        1,
    ]
}

fn cache_values(shape: CacheShape) -> Values {
    vec![
        ("kv_heads", shape.kv_heads.into()),
        ("head_dim", shape.head_dim.into()),
        ("f16", shape.f16.into()),
    ]
}

impl Ops for CubeBackend {
    fn linear(x: CubeTensor, words: CubeTensor, matrix: Product) -> CubeTensor {
        product(&x, &words, matrix, Fused::default())
    }

    fn linear_add(
        x: CubeTensor,
        words: CubeTensor,
        residual: CubeTensor,
        matrix: Product,
    ) -> CubeTensor {
        let residual = Some(&residual);
        product(
            &x,
            &words,
            matrix,
            Fused {
                residual,
                ..Fused::default()
            },
        )
    }

    fn norm_linear(
        x: CubeTensor,
        gain: CubeTensor,
        words: CubeTensor,
        matrix: Product,
        epsilon: f32,
    ) -> CubeTensor {
        let norm = Some((&gain, epsilon));
        product(
            &x,
            &words,
            matrix,
            Fused {
                norm,
                ..Fused::default()
            },
        )
    }

    fn norm_gate(
        x: CubeTensor,
        gain: CubeTensor,
        words: CubeTensor,
        matrix: Product,
        epsilon: f32,
    ) -> CubeTensor {
        let norm = Some((&gain, epsilon));
        product(
            &x,
            &words,
            matrix,
            Fused {
                norm,
                gate: true,
                ..Fused::default()
            },
        )
    }

    fn embed(tokens: CubeTensor, words: CubeTensor, matrix: Product, first: usize) -> CubeTensor {
        let count = tokens.meta.shape()[0];
        let x = empty(&tokens, &[count, matrix.inputs]);
        let values = vec![
            ("dtype", layout(matrix.dtype).name.into()),
            ("inputs", matrix.inputs.into()),
            ("outputs", matrix.outputs.into()),
            ("first", first.into()),
        ];
        let workgroups = [(matrix.inputs / 8).div_ceil(64), count, 1];
        launch(EMBED, values, &[&words, &tokens, &x], workgroups);
        x
    }

    fn rope_write(
        qkv: CubeTensor,
        bias_gains: CubeTensor,
        table: CubeTensor,
        positions: CubeTensor,
        slots: CubeTensor,
        cache: CubeTensor,
        shape: CacheShape,
        of_qkv: QkvShape,
    ) -> (CubeTensor, CubeTensor) {
        let QkvShape { heads, bias, norm } = of_qkv;
        let tokens = qkv.meta.shape()[0];
        let q = empty(&qkv, &[tokens, heads * shape.head_dim]);
        let mut values = cache_values(shape);
        values.extend([
            ("heads", heads.into()),
            ("bias", bias.into()),
            ("norm", norm.is_some().into()),
            ("epsilon", norm.unwrap_or_default().into()),
        ]);
        let all_heads = heads + 2 * shape.kv_heads;
        let workgroups = match norm {
            Some(_) => all_heads,
            None => (all_heads * shape.head_dim / 2).div_ceil(64),
        };
        let mut bindings = vec![&qkv, &table, &positions, &slots, &cache, &q];
        if bias || norm.is_some() {
            bindings.push(&bias_gains);
        }
        launch(ROPE_WRITE, values, &bindings, [workgroups, tokens, 1]);
        (q, cache)
    }

    fn attention(
        q: CubeTensor,
        cache: CubeTensor,
        pages: CubeTensor,
        tiles: CubeTensor,
        shape: CacheShape,
        spread: AttentionShape,
    ) -> CubeTensor {
        let AttentionShape {
            heads,
            window,
            queries,
            splits,
            lanes,
            subgroup,
        } = spread;
        let (tokens, width) = (q.meta.shape()[0], heads * shape.head_dim);
        let mut values = cache_values(shape);
        values.extend([
            ("group", (heads / shape.kv_heads).into()),
            ("window", window.into()),
            ("queries", queries.into()),
            ("splits", splits.into()),
            ("lanes", lanes.into()),
            ("subgroup", if subgroup { lanes } else { 0 }.into()),
            ("scale", (shape.head_dim as f32).sqrt().recip().into()),
        ]);
        let workgroups = [tiles.meta.shape()[0], shape.kv_heads, splits];
        let part = empty(&q, &[tokens, splits * width]);
        let mut bindings = vec![&q, &cache, &pages, &tiles, &part];
        if splits == 1 {
            launch(ATTENTION, values, &bindings, workgroups);
            return part;
        }
        let weights = empty(&q, &[tokens, heads * splits * 2]);
        bindings.push(&weights);
        launch(ATTENTION, values, &bindings, workgroups);
        let out = empty(&q, &[tokens, width]);
        let values = vec![
            ("head_dim", shape.head_dim.into()),
            ("splits", splits.into()),
        ];
        let bindings = [&part, &weights, &out];
        launch(
            ATTENTION_COMBINE,
            values,
            &bindings,
            [(tokens * width).div_ceil(64), 1, 1],
        );
        out
    }

    fn copy_page(cache: CubeTensor, pages: CubeTensor, shape: CacheShape) -> CubeTensor {
        let words = shape.page_words();
        let values = vec![("words", words.into())];
        launch(
            COPY_PAGE,
            values,
            &[&pages, &cache],
            [words.div_ceil(64), 1, 1],
        );
        cache
    }

    fn guidance(
        logits: CubeTensor,
        stream_rows: CubeTensor,
        weights: CubeTensor,
        settings: CubeTensor,
        guards: Guards,
    ) -> (CubeTensor, CubeTensor) {
        let vocab = logits.meta.shape()[1];
        let [answers, streams] = [stream_rows.meta.shape()[0], stream_rows.meta.shape()[1]];
        let scores = empty(&logits, &[answers, vocab]);
        let leaning = empty(&logits, &[answers, 2]);
        // Each guard looks at the whole vocabulary.
        let shares = match guards == Guards::default() {
            true => GUIDANCE_SHARES,
            false => 1,
        };
        let values = vec![
            ("vocab", vocab.into()),
            ("streams", streams.into()),
            ("shares", shares.into()),
            ("nucleus", guards.nucleus.into()),
            ("jsd", guards.jsd.into()),
            ("evaluations", guards.evaluations.into()),
        ];
        let bindings = [
            &logits,
            &stream_rows,
            &weights,
            &settings,
            &scores,
            &leaning,
        ];
        launch(GUIDANCE, values, &bindings, [shares, answers, 1]);
        (scores, leaning)
    }

    fn sample(
        scores: CubeTensor,
        leaning: CubeTensor,
        stream_rows: CubeTensor,
        settings: CubeTensor,
        key: CubeTensor,
        counts: CubeTensor,
        tokens: CubeTensor,
        top: usize,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        let [answers, vocab] = [scores.meta.shape()[0], scores.meta.shape()[1]];
        let mut summary = empty(&scores, &[answers, 2 + 4 * SAMPLE_SHARES]);
        summary.dtype = DType::I32;
        let mut values = vec![("vocab", vocab.into()), ("shares", SAMPLE_SHARES.into())];
        launch(
            SAMPLE_SUMMARY,
            values.clone(),
            &[&scores, &settings, &counts, &leaning, &summary],
            [SAMPLE_SHARES, answers, 1],
        );
        let mut chosen = empty(&scores, &[answers, 4 + 2 * top]);
        chosen.dtype = DType::I32;
        values.extend([
            ("streams", stream_rows.meta.shape()[1].into()),
            ("top", top.into()),
        ]);
        let bindings = [
            &scores,
            &stream_rows,
            &settings,
            &key,
            &counts,
            &tokens,
            &chosen,
            &summary,
        ];
        launch(SAMPLE, values, &bindings, [answers, 1, 1]);
        (counts, tokens, chosen)
    }

    fn log_probs(logits: CubeTensor, targets: CubeTensor) -> CubeTensor {
        let [rows, vocab] = [logits.meta.shape()[0], logits.meta.shape()[1]];
        let y = empty(&logits, &[rows]);
        let values = vec![("vocab", vocab.into())];
        launch(LOG_PROBS, values, &[&logits, &targets, &y], [rows, 1, 1]);
        y
    }

    fn copy(x: CubeTensor) -> CubeTensor {
        let length = x.meta.shape()[0];
        let y = empty(&x, &[length]);
        let workgroups = [(length / 4).div_ceil(64).min(4096), 1, 1];
        launch(COPY, Values::new(), &[&x, &y], workgroups);
        y
    }

    fn fma_chain(x: CubeTensor, rounds: usize) -> CubeTensor {
        let length = x.meta.shape()[0];
        let y = empty(&x, &[length]);
        let values = vec![("rounds", rounds.into())];
        launch(
            FMA_CHAIN,
            values,
            &[&x, &y],
            [(length / 16).div_ceil(64), 1, 1],
        );
        y
    }
}

#[cfg(test)]
mod tests {
    use super::{Variant, matvec_workgroups};
    use crate::formats::gguf::TensorType;
    use crate::kernels::pack::part_rows;
    use periapt_shaders::floor::{BINDING_BYTES, WORKGROUPS};

    /// Outputs and inputs of every matrix of Qwen2.5-0.5B, Llama-3.2-1B and Llama-3.1-8B.
    const SHAPES: [(usize, usize); 15] = [
        (151_936, 896),
        (1152, 896),
        (896, 896),
        (9728, 896),
        (896, 4864),
        (128_256, 2048),
        (3072, 2048),
        (2048, 2048),
        (16_384, 2048),
        (2048, 8192),
        (128_256, 4096),
        (6144, 4096),
        (4096, 4096),
        (28_672, 4096),
        (4096, 14_336),
    ];

    #[test]
    fn large_models_stay_within_the_floor() {
        let mut split = 0;
        for (outputs, inputs) in SHAPES {
            for dtype in [
                TensorType::F32,
                TensorType::F16,
                TensorType::Q8_0,
                TensorType::Q4_0,
            ] {
                let rows = part_rows(dtype, inputs, BINDING_BYTES);
                let bytes = inputs / dtype.block_size() * dtype.block_bytes() * rows.min(outputs);
                // Packing adds at most an odd block to these types.
                assert!(
                    bytes as u64 <= BINDING_BYTES,
                    "{dtype} {outputs}x{inputs}: {bytes}"
                );
                split += usize::from(rows < outputs);
                for variant in [Variant::WIDE, Variant::DEEP] {
                    for tokens in [1, 2, 64, 256] {
                        for outs in [variant.outs, 1] {
                            let width = outputs.min(rows);
                            let workgroups = matvec_workgroups(width, tokens, variant, outs);
                            assert!(
                                workgroups.iter().all(|n| *n <= WORKGROUPS as usize),
                                "{outputs}x{inputs}: {workgroups:?}"
                            );
                        }
                    }
                }
            }
            // Activations and logits of 64 rows.
            assert!(4 * 64 * outputs.max(inputs) as u64 <= BINDING_BYTES);
        }
        assert!(
            split > 0,
            "nothing is large enough to be split: the test shows nothing"
        );
    }
}
