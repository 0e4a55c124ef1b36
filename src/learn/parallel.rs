//! Work over many people on several threads, with a result that does not depend on how many.

use std::sync::atomic::{AtomicUsize, Ordering};

/// People handled at a time; fixed, because sums are merged chunk by chunk.
const CHUNK: usize = 256;

/// Maps chunks of `items` on up to `threads` threads; results come in the order of the chunks.
pub(super) fn in_chunks<T: Sync, R: Send>(
    items: &[T],
    threads: usize,
    work: impl Fn(&[T]) -> R + Sync,
) -> Vec<R> {
    let chunks: Vec<&[T]> = items.chunks(CHUNK).collect();
    let next = AtomicUsize::new(0);
    let run = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(chunk) = chunks.get(index) else { return done };
            done.push((index, work(chunk)));
        }
    };
    let mut done: Vec<(usize, R)> = std::thread::scope(|scope| {
        let others: Vec<_> =
            (1..threads.clamp(1, chunks.len().max(1))).map(|_| scope.spawn(run)).collect();
        let mut done = run();
        for other in others {
            done.extend(other.join().expect("the work does not panic"));
        }
        done
    });
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Maps each item on up to `threads` threads, in order.
pub(super) fn map<T: Sync, R: Send>(
    items: &[T],
    threads: usize,
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    in_chunks(items, threads, |chunk| chunk.iter().map(&work).collect::<Vec<R>>())
        .into_iter()
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_threads_gives_the_same_sum() {
        let items: Vec<f64> = (0..10_000).map(|i| 1.0 / f64::from(i + 1)).collect();
        let sum = |threads| -> f64 {
            in_chunks(&items, threads, |chunk| chunk.iter().sum::<f64>()).into_iter().sum()
        };
        assert!(sum(1).to_bits() == sum(2).to_bits() && sum(1).to_bits() == sum(7).to_bits());
        assert_eq!(map(&items, 3, |x| x * 2.0)[9_999].to_bits(), (items[9_999] * 2.0).to_bits());
    }
}
