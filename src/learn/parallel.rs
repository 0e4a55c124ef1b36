//! Work over many people on every core, with a result that does not depend on how many there are.

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
use rayon::slice::ParallelSlice;

/// People handled at a time; fixed, because sums are merged chunk by chunk.
const CHUNK: usize = 256;

/// Maps chunks of `items`; results come in the order of the chunks.
pub(in crate::learn) fn in_chunks<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&[T]) -> R + Sync + Send,
) -> Vec<R> {
    items.par_chunks(CHUNK).map(work).collect()
}

/// Maps each item, in order.
pub(in crate::learn) fn map<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> R + Sync + Send,
) -> Vec<R> {
    items.par_iter().map(work).collect()
}

/// Does work on so many threads.
#[cfg(test)]
pub(in crate::learn) fn on_threads<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_threads_gives_the_same_sum() {
        let items: Vec<f64> = (0..10_000).map(|i| 1.0 / f64::from(i + 1)).collect();
        let sum = |threads| -> f64 {
            on_threads(threads, || {
                in_chunks(&items, |chunk| chunk.iter().sum::<f64>()).into_iter().sum()
            })
        };
        assert!(sum(1).to_bits() == sum(2).to_bits() && sum(1).to_bits() == sum(7).to_bits());
        assert_eq!(map(&items, |x| x * 2.0)[9_999].to_bits(), (items[9_999] * 2.0).to_bits());
    }
}
