//! Parallel maps: work split among threads so that the result does not depend on how many there
//! are.

use std::ops::Range;

use rayon::iter::{IntoParallelIterator, ParallelIterator};

/// Splits a count among threads, in order.
fn ranges(count: usize, threads: usize) -> Vec<Range<usize>> {
    const WORTHWHILE: usize = 2048;
    let parts = threads.clamp(1, count.div_ceil(WORTHWHILE).max(1));
    let size = count.div_ceil(parts).max(1);
    (0..parts).map(|part| (part * size).min(count)..((part + 1) * size).min(count)).collect()
}

/// Calls `work` with ranges that make up the count; the results are in order.
pub(super) fn parallel_map<T: Send>(
    count: usize,
    threads: usize,
    work: impl Fn(Range<usize>) -> T + Sync,
) -> Vec<T> {
    let ranges = ranges(count, threads).into_iter();
    each(ranges.map(|range| (range, ())).collect(), |range, ()| work(range))
}

/// The same for rows that begin at `starts`, whose last is the end of all: `work` is given the rows
/// of its range in both.
pub(super) fn parallel_rows<A: Send, B: Send, T: Send>(
    starts: &[usize],
    (mut first, mut second): (&mut [A], &mut [B]),
    threads: usize,
    work: impl Fn(Range<usize>, (&mut [A], &mut [B])) -> T + Sync,
) -> Vec<T> {
    let mut parts = Vec::new();
    for range in ranges(starts.len() - 1, threads) {
        let length = starts[range.end] - starts[range.start];
        let (mine, rest) = first.split_at_mut(length);
        let (of, more) = second.split_at_mut(length);
        (first, second) = (rest, more);
        parts.push((range, (mine, of)));
    }
    each(parts, work)
}

fn each<P: Send, T: Send>(
    parts: Vec<(Range<usize>, P)>,
    work: impl Fn(Range<usize>, P) -> T + Sync,
) -> Vec<T> {
    parts.into_par_iter().map(|(range, part)| work(range, part)).collect()
}

/// Makes a vector longer by zeros; where it is empty, by memory that is not touched before it is
/// used.
pub(super) fn grow<T: Copy + Default>(vector: &mut Vec<T>, length: usize) {
    if vector.is_empty() {
        *vector = vec![T::default(); length];
    } else {
        vector.resize(length, T::default());
    }
}

/// Moves a vector's content to the end of another, without copying where that is empty.
pub(super) fn append<T>(to: &mut Vec<T>, from: &mut Vec<T>) {
    if to.is_empty() {
        std::mem::swap(to, from);
    } else {
        to.append(from);
    }
}
