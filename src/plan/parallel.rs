//! Parts: work split among threads so that the result does not depend on how many there are.

/// Splits bidders among threads, in order.
pub(super) fn parallel_map<T: Send>(
    count: usize,
    threads: usize,
    work: impl Fn(std::ops::Range<usize>) -> T + Sync,
) -> Vec<T> {
    const WORTHWHILE: usize = 2048;
    let parts = threads.clamp(1, count.div_ceil(WORTHWHILE).max(1));
    let size = count.div_ceil(parts).max(1);
    if parts == 1 {
        return vec![work(0..count)];
    }
    std::thread::scope(|scope| {
        let work = &work;
        let handles: Vec<_> = (0..parts)
            .map(|part| {
                scope.spawn(move || work((part * size).min(count)..((part + 1) * size).min(count)))
            })
            .collect();
        let joined = handles.into_iter().map(std::thread::ScopedJoinHandle::join);
        joined.map(|part| part.expect("a part's panic is passed on")).collect()
    })
}
