//! The twins on burn's CPU backend, in plain Rust.

mod attention;
mod linear;
pub(super) mod parallel;
mod rope;
mod sampling;

use super::ops::{AttentionShape, CacheShape, Guards, Ops, Product, QkvShape};
use super::sampling::Settings;
use burn::backend::{Flex, flex::FlexTensor};
use burn::tensor::TensorData;

/// The values of a contiguous tensor in row-major order. The callers pass f32 and i32 tensors alone, as
/// [`Ops`] asks, so a wrong type is a mistake in this crate.
fn values<E: burn::tensor::Element + bytemuck::Pod>(tensor: &FlexTensor) -> &[E] {
    let layout = tensor.layout();
    &tensor.storage::<E>()[layout.start_offset()..][..layout.num_elements()]
}

fn tensor(values: Vec<f32>, shape: &[usize]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

/// The file's blocks in a matrix's words.
fn blocks<'a>(words: &'a FlexTensor, product: &Product) -> &'a [u8] {
    let dtype = product.dtype;
    let bytes = product.outputs * product.inputs / dtype.block_size() * dtype.block_bytes();
    &bytemuck::cast_slice(values::<i32>(words))[..bytes]
}

fn product(x: &[f32], words: &FlexTensor, product: &Product) -> Vec<f32> {
    let mut y = vec![0.0; x.len() / product.inputs * product.outputs];
    let blocks = blocks(words, product);
    linear::linear(
        product.dtype,
        blocks,
        product.outputs,
        product.inputs,
        x,
        &mut y,
    );
    y
}

fn rms_norm(x: &[f32], gain: &[f32], epsilon: f32) -> Vec<f32> {
    let mut y = Vec::with_capacity(x.len());
    for row in x.chunks_exact(gain.len()) {
        let mean = row.iter().map(|v| v * v).sum::<f32>() / gain.len() as f32;
        let scale = (mean + epsilon).sqrt().recip();
        y.extend(
            row.iter()
                .zip(gain)
                .map(|(value, gain)| value * scale * gain),
        );
    }
    y
}

fn rows(x: &FlexTensor) -> usize {
    x.layout().shape()[0]
}

impl Ops for Flex {
    fn linear(x: FlexTensor, words: FlexTensor, shape: Product) -> FlexTensor {
        tensor(
            product(values(&x), &words, &shape),
            &[rows(&x), shape.outputs],
        )
    }

    fn linear_add(
        x: FlexTensor,
        words: FlexTensor,
        residual: FlexTensor,
        shape: Product,
    ) -> FlexTensor {
        let mut y = product(values(&x), &words, &shape);
        for (y, residual) in y.iter_mut().zip(values::<f32>(&residual)) {
            *y += residual;
        }
        tensor(y, &[rows(&x), shape.outputs])
    }

    fn norm_linear(
        x: FlexTensor,
        gain: FlexTensor,
        words: FlexTensor,
        shape: Product,
        epsilon: f32,
    ) -> FlexTensor {
        let normed = rms_norm(values(&x), values(&gain), epsilon);
        tensor(product(&normed, &words, &shape), &[rows(&x), shape.outputs])
    }

    fn norm_gate(
        x: FlexTensor,
        gain: FlexTensor,
        words: FlexTensor,
        shape: Product,
        epsilon: f32,
    ) -> FlexTensor {
        let normed = rms_norm(values(&x), values(&gain), epsilon);
        let width = shape.outputs / 2;
        let y = product(&normed, &words, &shape)
            .chunks_exact(2 * width)
            .flat_map(|row| {
                let (gate, up) = row.split_at(width);
                gate.iter().zip(up).map(|(g, u)| g / (1.0 + (-g).exp()) * u)
            })
            .collect();
        tensor(y, &[rows(&x), width])
    }

    fn embed(tokens: FlexTensor, words: FlexTensor, shape: Product, first: usize) -> FlexTensor {
        let tokens = values::<i32>(&tokens);
        let mut x = vec![0.0; tokens.len() * shape.inputs];
        for (token, out) in tokens.iter().zip(x.chunks_exact_mut(shape.inputs)) {
            let row = (*token as usize).wrapping_sub(first);
            if row < shape.outputs {
                linear::dequantize_row(shape.dtype, blocks(&words, &shape), shape.inputs, row, out);
            }
        }
        tensor(x, &[tokens.len(), shape.inputs])
    }

    fn rope_write(
        qkv: FlexTensor,
        bias_gains: FlexTensor,
        table: FlexTensor,
        positions: FlexTensor,
        slots: FlexTensor,
        mut cache: FlexTensor,
        shape: CacheShape,
        of_qkv: QkvShape,
    ) -> (FlexTensor, FlexTensor) {
        let width = of_qkv.heads * shape.head_dim;
        let mut q = vec![0.0; rows(&qkv) * width];
        rope::rope_write(
            values(&qkv),
            values(&bias_gains),
            values(&table),
            values(&positions),
            values(&slots),
            bytemuck::cast_slice_mut(cache.storage_mut::<i32>()),
            shape,
            of_qkv,
            &mut q,
        );
        (tensor(q, &[rows(&qkv), width]), cache)
    }

    fn attention(
        q: FlexTensor,
        cache: FlexTensor,
        pages: FlexTensor,
        tiles: FlexTensor,
        shape: CacheShape,
        spread: AttentionShape,
    ) -> FlexTensor {
        let mut out = vec![0.0; rows(&q) * spread.heads * shape.head_dim];
        attention::attention(
            values(&q),
            bytemuck::cast_slice(values::<i32>(&cache)),
            values(&pages),
            values(&tiles),
            shape,
            spread,
            &mut out,
        );
        tensor(out, &[rows(&q), spread.heads * shape.head_dim])
    }

    fn copy_page(mut cache: FlexTensor, pages: FlexTensor, shape: CacheShape) -> FlexTensor {
        let words = shape.page_words();
        if let &[from, to] = values::<i32>(&pages) {
            let from = from as usize * words;
            cache
                .storage_mut::<i32>()
                .copy_within(from..from + words, to as usize * words);
        }
        cache
    }

    fn guidance(
        logits: FlexTensor,
        stream_rows: FlexTensor,
        weights: FlexTensor,
        settings: FlexTensor,
        guards: Guards,
    ) -> (FlexTensor, FlexTensor) {
        let vocab = logits.layout().shape()[1];
        let shape = stream_rows.layout().shape();
        let (answers, streams) = (shape[0], shape[1]);
        let logits = values::<f32>(&logits);
        let settings = Settings::from_slots(values(&settings));
        let mut leaning = Vec::with_capacity(answers * 2);
        let mut scores = vec![0.0; answers * vocab];
        let answers_streams = values::<i32>(&stream_rows)
            .chunks_exact(streams)
            .zip(values::<f32>(&weights).chunks_exact(streams));
        for ((rows, weights), scores) in answers_streams.zip(scores.chunks_exact_mut(vocab)) {
            let streams: Vec<_> = rows
                .iter()
                .zip(weights)
                .map(|(row, weight)| (&logits[*row as usize * vocab..][..vocab], *weight))
                .collect();
            leaning.extend(sampling::guidance(&streams, &settings, guards, scores));
        }
        (
            tensor(scores, &[answers, vocab]),
            tensor(leaning, &[answers, 2]),
        )
    }

    fn sample(
        scores: FlexTensor,
        leaning: FlexTensor,
        stream_rows: FlexTensor,
        settings: FlexTensor,
        key: FlexTensor,
        mut counts: FlexTensor,
        mut tokens: FlexTensor,
        top: usize,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let (answers, vocab) = (rows(&scores), scores.layout().shape()[1]);
        let streams = stream_rows.layout().shape()[1];
        let settings = Settings::from_slots(values(&settings));
        let key = values::<i32>(&key);
        let mut chosen = Vec::with_capacity(answers * (4 + 2 * top));
        for (answer, scores) in values::<f32>(&scores).chunks_exact(vocab).enumerate() {
            let counts = &mut counts.storage_mut::<i32>()[answer * vocab..][..vocab];
            let number = key[3 + answer] as u32;
            let key = [key[0] as u32, key[1] as u32, key[2] as u32, number];
            let id = sampling::sample(scores, counts, &settings, key);
            let sum = sampling::log_sum_exp(scores);
            let log_prob = |score: f32| (score - sum).to_bits() as i32;
            match id {
                Some(id) => {
                    counts[id as usize] += 1;
                    chosen.extend([id as i32, log_prob(scores[id as usize])]);
                    for row in &values::<i32>(&stream_rows)[answer * streams..][..streams] {
                        tokens.storage_mut::<i32>()[*row as usize] = id as i32;
                    }
                }
                None => chosen.extend([-1, f32::NAN.to_bits() as i32]),
            }
            let leaning = &values::<f32>(&leaning)[2 * answer..][..2];
            chosen.extend(leaning.iter().map(|value| value.to_bits() as i32));
            for (score, id) in sampling::best(scores, top) {
                chosen.extend([id, log_prob(score)]);
            }
        }
        let chosen = TensorData::new(chosen, [answers, 4 + 2 * top]);
        (counts, tokens, FlexTensor::from_data(chosen))
    }

    fn log_probs(logits: FlexTensor, targets: FlexTensor) -> FlexTensor {
        let vocab = logits.layout().shape()[1];
        let rows = values::<f32>(&logits).chunks_exact(vocab);
        let y: Vec<f32> = rows
            .zip(values::<i32>(&targets))
            .map(|(row, target)| row[*target as usize] - sampling::log_sum_exp(row))
            .collect();
        let length = y.len();
        tensor(y, &[length])
    }

    fn copy(x: FlexTensor) -> FlexTensor {
        tensor(values(&x).to_vec(), x.layout().shape())
    }

    fn fma_chain(x: FlexTensor, rounds: usize) -> FlexTensor {
        let chain = |x: &f32| (0..rounds).fold(*x, |y, _| y * 0.75 + 0.25);
        tensor(values(&x).iter().map(chain).collect(), x.layout().shape())
    }
}
