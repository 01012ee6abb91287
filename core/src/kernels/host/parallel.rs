//! Work spread over the processor's cores where there are threads (natively), in order where not (WASM).

/// Calls `work` with every chunk of `values` and its index; the last one may be shorter.
#[cfg(not(target_arch = "wasm32"))]
pub fn for_each_chunk<T: Send>(
    values: &mut [T],
    size: usize,
    work: impl Fn(usize, &mut [T]) + Sync,
) {
    use rayon::iter::{IndexedParallelIterator, ParallelIterator};
    use rayon::slice::ParallelSliceMut;
    let chunks = values.par_chunks_mut(size).enumerate();
    chunks.for_each(|(index, chunk)| work(index, chunk));
}

/// Calls `work` with every chunk of `values` and its index; the last one may be shorter.
#[cfg(target_arch = "wasm32")]
pub fn for_each_chunk<T>(values: &mut [T], size: usize, work: impl Fn(usize, &mut [T])) {
    for (index, chunk) in values.chunks_mut(size).enumerate() {
        work(index, chunk);
    }
}

/// What `work` makes of every chunk of `values`, in order.
#[cfg(not(target_arch = "wasm32"))]
pub fn map_chunks<T: Sync, R: Send>(
    values: &[T],
    size: usize,
    work: impl Fn(&[T]) -> R + Send + Sync,
) -> Vec<R> {
    use rayon::iter::ParallelIterator;
    use rayon::slice::ParallelSlice;
    values.par_chunks(size).map(work).collect()
}

/// What `work` makes of every chunk of `values`, in order.
#[cfg(target_arch = "wasm32")]
pub fn map_chunks<T, R>(values: &[T], size: usize, work: impl Fn(&[T]) -> R) -> Vec<R> {
    values.chunks(size).map(work).collect()
}
