//! The order of rows that rotary positions turn.

/// Rows of `size` values, each head's `head_dim` rows being the first halves of its rotary pairs and then the second
/// ones, with each pair side by side: from the transformers library's order to that of GGUF files of `llama`.
#[must_use]
pub fn join_pairs<T: Copy>(rows: &[T], size: usize, head_dim: usize) -> Vec<T> {
    let mut joined = Vec::with_capacity(rows.len());
    for head in rows.chunks_exact(head_dim * size) {
        let (firsts, seconds) = head.split_at(head.len() / 2);
        for (first, second) in firsts.chunks_exact(size).zip(seconds.chunks_exact(size)) {
            joined.extend_from_slice(first);
            joined.extend_from_slice(second);
        }
    }
    joined
}
