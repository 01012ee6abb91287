//! Keys and values of every layer for a batch of rows, and the rows' positions.
//!
//! Rows of different lengths are aligned at their ends: shorter prompts are padded on the left, so
//! that all rows write the same column at each step, and padding is masked out of attention. A
//! row's position (what rope sees) counts from its own first token.

use super::{DecoderConfig, ModelError};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

/// Attention reads the cache in whole blocks of this many columns, so that a growing context
/// changes its shapes (and with them its compiled kernels) rarely.
const BLOCK: usize = 64;

/// What masked scores become: far below any real one, and finite, so that a row that attends to
/// nothing (padding) stays finite too.
const MASKED: f32 = -1e9;

/// The state of one batch of rows between steps.
#[derive(Debug)]
pub struct KvCache {
    /// Keys and values of each layer, `[rows, kv_heads, capacity, head_dim]`.
    layers: Vec<(Tensor<4>, Tensor<4>)>,
    /// cos, sin of each pair, `[capacity, head_dim]`.
    rope: Tensor<2>,
    /// Columns of padding at the left of each row.
    padding: Vec<usize>,
    /// Columns written so far.
    used: usize,
    /// Columns there are.
    capacity: usize,
    device: Device,
}

/// What one forward pass over new columns needs besides the keys and values themselves.
#[derive(Debug)]
pub(super) struct Span {
    /// The first new column.
    pub start: usize,
    /// Columns attention reads: `start + columns`, up to a whole block.
    pub attended: usize,
    /// Position of each new token, `[rows * columns]`.
    pub positions: Tensor<1, Int>,
    /// Added to the scores, `[rows, 1, columns, attended]`.
    pub mask: Tensor<4>,
}

impl KvCache {
    /// An empty cache for rows whose prompts have `lengths` tokens, and `more` tokens after them.
    pub(super) fn new(
        config: &DecoderConfig,
        lengths: &[usize],
        more: usize,
        device: &Device,
    ) -> Self {
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let capacity = (longest + more).next_multiple_of(BLOCK);
        let shape = [lengths.len(), config.kv_heads, capacity, config.head_dim];
        let zeros = || Tensor::zeros(shape, device);
        Self {
            layers: (0..config.layers).map(|_| (zeros(), zeros())).collect(),
            rope: rope_table(config, capacity, device),
            padding: lengths.iter().map(|length| longest - length).collect(),
            used: 0,
            capacity,
            device: device.clone(),
        }
    }

    /// Rows in the batch.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.padding.len()
    }

    /// The padding at the left of each row, in columns.
    pub(super) fn padding(&self) -> &[usize] {
        &self.padding
    }

    /// The rope table, `[capacity, head_dim]`.
    pub(super) fn rope(&self) -> Tensor<2> {
        self.rope.clone()
    }

    /// Reserves `columns` new columns in every row and says what attention over them needs.
    pub(super) fn extend(&mut self, columns: usize) -> Result<Span, ModelError> {
        let start = self.used;
        let end = start + columns;
        if end > self.capacity {
            return Err(ModelError::CacheFull(self.capacity));
        }
        self.used = end;
        let attended = end.next_multiple_of(BLOCK);
        let mut positions = Vec::with_capacity(self.rows() * columns);
        let mut mask = Vec::with_capacity(self.rows() * columns * attended);
        for &padding in &self.padding {
            for column in start..end {
                positions.push(column.saturating_sub(padding) as i32);
                mask.extend((0..attended).map(|key| {
                    let visible = padding <= key && key <= column;
                    if visible { 0.0 } else { MASKED }
                }));
            }
        }
        let positions = TensorData::new(positions, [self.rows() * columns]);
        let mask = TensorData::new(mask, [self.rows(), 1, columns, attended]);
        Ok(Span {
            start,
            attended,
            positions: Tensor::from_data(positions, (&self.device, DType::I32)),
            mask: Tensor::from_data(mask, &self.device),
        })
    }

    /// Writes one layer's new keys and values (`[rows, kv_heads, columns, head_dim]`) and returns
    /// all that attention reads: `[rows, kv_heads, span.attended, head_dim]` each.
    pub(super) fn append(
        &mut self,
        layer: usize,
        span: &Span,
        keys: Tensor<4>,
        values: Tensor<4>,
    ) -> (Tensor<4>, Tensor<4>) {
        let (cached_keys, cached_values) = &mut self.layers[layer];
        let write = |cache: &mut Tensor<4>, new: Tensor<4>| {
            let [rows, heads, columns, head_dim] = new.dims();
            let at = [
                0..rows,
                0..heads,
                span.start..span.start + columns,
                0..head_dim,
            ];
            cache.inplace(|cache| cache.slice_assign(at, new));
            cache
                .clone()
                .slice([0..rows, 0..heads, 0..span.attended, 0..head_dim])
        };
        (write(cached_keys, keys), write(cached_values, values))
    }
}

/// cos and sin of `position * base^(-2i / head_dim)`, side by side for each pair `i`, computed in
/// f64: `[positions, head_dim]`.
fn rope_table(config: &DecoderConfig, positions: usize, device: &Device) -> Tensor<2> {
    let head_dim = config.head_dim;
    let mut table = Vec::with_capacity(positions * head_dim);
    for position in 0..positions {
        for pair in 0..head_dim / 2 {
            let frequency = f64::from(config.rope_base).powf(-2.0 * pair as f64 / head_dim as f64);
            let (sin, cos) = (position as f64 * frequency).sin_cos();
            table.extend([cos as f32, sin as f32]);
        }
    }
    Tensor::from_data(TensorData::new(table, [positions, head_dim]), device)
}
