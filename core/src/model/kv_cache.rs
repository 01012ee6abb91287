//! Keys and values of every layer in pages, the rows that hold them, and what one pass through the
//! decoder needs to know of its tokens.

use super::pages::{Pages, Row};
use super::{DecoderConfig, KvType, ModelError};
use crate::kernels::{CacheShape, PAGE, binding_bytes, cache};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

/// The state of one batch of rows between steps. Rows have numbers, counted from 0; a released row's number
/// is not used again.
#[derive(Debug)]
pub struct KvCache {
    /// Each layer's pages, `[pages * page words]`; see [`CacheShape`].
    layers: Vec<Tensor<1, Int>>,
    /// cos, sin of each pair, `[positions, head_dim]`.
    rope: Tensor<2>,
    pages: Pages,
    rows: Vec<Row>,
    shape: CacheShape,
    device: Device,
}

/// The tokens of one pass, as the kernels want them.
#[derive(Debug)]
pub(super) struct Span {
    /// Position of each token, `[tokens]`.
    pub positions: Tensor<1, Int>,
    /// Where each token's keys and values go, `[tokens]`.
    pub slots: Tensor<1, Int>,
    /// See [`cache::attention`].
    pub tiles: Tensor<2, Int>,
    /// See [`cache::attention`].
    pub pages: Tensor<1, Int>,
    /// The most tokens of a tile.
    pub queries: usize,
    /// Pages of the longest row.
    pub longest: usize,
}

impl KvCache {
    /// A cache of `pages` pages of 64 tokens, without rows, for positions below `positions`.
    ///
    /// # Errors
    ///
    /// [`ModelError::CacheTooLarge`] where a layer's pages pass the binding limit.
    pub(super) fn new(
        config: &DecoderConfig,
        kv: KvType,
        pages: usize,
        positions: usize,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let layer = || Tensor::zeros([1], (device, DType::I32));
        let mut cache = Self {
            layers: (0..config.layers).map(|_| layer()).collect(),
            rope: Self::rope_table(config, positions, device),
            pages: Pages::new(0),
            rows: Vec::new(),
            shape: Self::shape(config, kv),
            device: device.clone(),
        };
        cache.grow(config, pages, positions)?;
        Ok(cache)
    }

    /// Grows to `pages` pages and to positions below `positions`, where it has fewer.
    ///
    /// # Errors
    ///
    /// As [`KvCache::new`]; nothing has changed then.
    pub(super) fn grow(
        &mut self,
        config: &DecoderConfig,
        pages: usize,
        positions: usize,
    ) -> Result<(), ModelError> {
        let words = self.shape.page_words();
        let most = Self::layer_words(&self.device) / words;
        if pages > most {
            return Err(ModelError::CacheTooLarge {
                tokens: pages * PAGE,
                most: most * PAGE,
            });
        }
        if positions > self.rope.dims()[0] {
            self.rope = Self::rope_table(config, positions, &self.device);
        }
        let there = self.pages.count();
        if pages > there {
            let more = [(pages - there) * words];
            for layer in &mut self.layers {
                let more = Tensor::zeros(more, (&self.device, DType::I32));
                layer.inplace(|layer| match there {
                    0 => more,
                    _ => Tensor::cat(vec![layer, more], 0),
                });
            }
            self.pages.add(pages - there);
        }
        Ok(())
    }

    /// cos and sin of positions below `positions`, and of a few more.
    fn rope_table(config: &DecoderConfig, positions: usize, device: &Device) -> Tensor<2> {
        let positions = positions.next_multiple_of(PAGE).max(PAGE);
        config.rope.table(config.head_dim, positions, device)
    }

    /// The most words of a layer's pages.
    fn layer_words(device: &Device) -> usize {
        (binding_bytes(device) / 4) as usize
    }

    /// The most pages that a cache may have on `device`.
    pub(super) fn most_pages(config: &DecoderConfig, kv: KvType, device: &Device) -> usize {
        Self::layer_words(device) / Self::shape(config, kv).page_words()
    }

    fn shape(config: &DecoderConfig, kv: KvType) -> CacheShape {
        CacheShape {
            kv_heads: config.kv_heads,
            head_dim: config.head_dim,
            f16: kv == KvType::F16,
        }
    }

    /// Bytes that one row of `tokens` tokens takes in all layers, in whole pages.
    #[must_use]
    pub fn row_bytes(config: &DecoderConfig, kv: KvType, tokens: usize) -> u64 {
        let page = 4 * Self::shape(config, kv).page_words() as u64;
        config.layers as u64 * tokens.div_ceil(PAGE) as u64 * page
    }

    /// Tokens of a row, 0 for one that was released.
    #[must_use]
    pub fn tokens(&self, row: usize) -> usize {
        self.rows.get(row).map_or(0, |row| row.tokens)
    }

    /// Rows there have been, released ones included.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// A new, empty row; gives its number.
    pub fn add(&mut self) -> usize {
        self.rows.push(Row::default());
        self.rows.len() - 1
    }

    /// A new row that begins with the first `tokens` of `row`, of which nothing is copied; gives its number.
    pub fn fork(&mut self, row: usize, tokens: usize) -> usize {
        let fork = self.add();
        self.fork_into(fork, row, tokens);
        fork
    }

    /// [`KvCache::fork`] into a row that is empty.
    pub(super) fn fork_into(&mut self, into: usize, row: usize, tokens: usize) {
        self.rows[into] = self.pages.fork(&self.rows[row], tokens);
    }

    /// Pages in all.
    pub(super) fn pages(&self) -> usize {
        self.pages.count()
    }

    /// Whether keys and values are stored as `kv`.
    pub(super) fn is(&self, kv: KvType) -> bool {
        self.shape.f16 == (kv == KvType::F16)
    }

    /// Pages that no row holds.
    pub(super) fn free_pages(&self) -> usize {
        self.pages.free()
    }

    /// The most pages that so many new tokens of these rows take, the copy of a shared one included.
    pub(super) fn growth(&self, runs: &[(usize, usize)]) -> usize {
        let of_run = |(row, count): &(usize, usize)| {
            let row = &self.rows[*row];
            let copies = usize::from(!row.tokens.is_multiple_of(PAGE));
            (row.tokens + count).div_ceil(PAGE) - row.pages.len() + copies
        };
        runs.iter().map(of_run).sum()
    }

    /// Gives a row's pages up.
    pub fn release(&mut self, row: usize) {
        let row = std::mem::take(&mut self.rows[row]);
        self.pages.release(row);
    }

    /// One layer's pages, the rope table and the shape of both.
    pub(super) fn layer(&mut self, index: usize) -> (&mut Tensor<1, Int>, &Tensor<2>, CacheShape) {
        (&mut self.layers[index], &self.rope, self.shape)
    }

    /// Room for new tokens: so many for each of these rows, which come in this order in the pass. Tiles hold
    /// up to `queries` tokens.
    pub(super) fn extend(
        &mut self,
        runs: &[(usize, usize)],
        queries: usize,
    ) -> Result<Span, ModelError> {
        let (mut positions, mut slots) = (Vec::new(), Vec::new());
        let (mut tiles, mut pages) = (Vec::new(), Vec::new());
        let mut longest = 0;
        for &(number, count) in runs {
            let start = self.rows[number].tokens;
            let first = positions.len();
            let copy = self.pages.grow(&mut self.rows[number], count)?;
            if let Some(copy) = copy {
                let shape = self.shape;
                let pair = self.ints(vec![copy.from as i32, copy.to as i32]);
                for layer in &mut self.layers {
                    layer.inplace(|layer| cache::copy_page(layer, pair.clone(), shape));
                }
            }
            let row = &self.rows[number];
            for at in start..start + count {
                positions.push(at as i32);
                slots.push((row.pages[at / PAGE] as usize * PAGE + at % PAGE) as i32);
            }
            for from in (0..count).step_by(queries) {
                let tile = [
                    first + from,
                    queries.min(count - from),
                    start + from,
                    pages.len(),
                ];
                tiles.extend(tile.map(|n| n as i32));
            }
            pages.extend(row.pages.iter().map(|page| *page as i32));
            longest = longest.max(row.pages.len());
        }
        let count = tiles.len() / 4;
        Ok(Span {
            positions: self.ints(positions),
            slots: self.ints(slots),
            tiles: self.ints(tiles).reshape([count, 4]),
            pages: self.ints(pages),
            queries,
            longest,
        })
    }

    fn ints(&self, values: Vec<i32>) -> Tensor<1, Int> {
        let length = values.len();
        Tensor::from_data(
            TensorData::new(values, [length]),
            (&self.device, DType::I32),
        )
    }
}
