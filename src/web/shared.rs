//! What is made once for all who look: parts of pages, and sums over everybody.
//!
//! What is costly to make is shown as it was while it is made anew, and is made to its end whether or not
//! somebody waits for it: a campaign of a million people is summed up once, not once a visit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant as Stopwatch};

use tokio::sync::{Mutex as Turns, OwnedMutexGuard};

/// How often a part of a page is told anew, at most.
pub(super) const EVERY: Duration = Duration::from_secs(2);
/// A part of a page that takes so long is shown as it was while it is made anew.
pub(super) const COSTLY_PART: Duration = Duration::from_millis(100);
/// The same of a sum: an answer is true of the moment it is given, unless that takes long.
pub(super) const COSTLY_SUM: Duration = Duration::from_secs(1);
/// How old what is costly may get: so many times what making it took.
const COSTS: u32 = 20;
/// The age at which everything is made anew.
const OLDEST: Duration = Duration::from_mins(1);
/// What nobody looked at for longer is not shown as it was.
const FORGOTTEN: Duration = Duration::from_mins(10);
/// How much is kept.
const KEPT_MAX: usize = 500;

/// Things by their name, each as it was last made.
pub(super) struct Shared<T> {
    /// The age that even what is quickly made may have.
    age: Duration,
    /// What takes so long to make is costly.
    costly: Duration,
    parts: Mutex<HashMap<String, Arc<Part<T>>>>,
}

struct Part<T> {
    last: Mutex<Option<Made<T>>>,
    /// Whose turn it is to make it.
    turn: Arc<Turns<()>>,
}

#[derive(Clone)]
struct Made<T> {
    value: T,
    made: Stopwatch,
    good_for: Duration,
    is_costly: bool,
}

impl<T: Clone + Send + 'static> Shared<T> {
    /// Nothing yet; what is quickly made is told for so long as it is, what takes as long as `costly`
    /// for longer.
    pub(super) fn new(age: Duration, costly: Duration) -> Arc<Self> {
        Arc::new(Self { age, costly, parts: Mutex::default() })
    }

    /// What has the name, made anew where it is too old; who comes before it was ever made waits for it.
    pub(super) async fn get<E: Send + 'static>(
        &self,
        name: &str,
        make: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, E> {
        let part = {
            let mut all = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
            if all.len() >= KEPT_MAX && !all.contains_key(name) {
                all.clear();
            }
            let new = || Arc::new(Part { last: Mutex::default(), turn: Arc::default() });
            Arc::clone(all.entry(name.to_owned()).or_insert_with(new))
        };
        if let Some(last) = part.last() {
            let age = last.made.elapsed();
            if age < last.good_for {
                return Ok(last.value);
            }
            // what is quickly made is worth waiting for
            if last.is_costly && age < FORGOTTEN {
                if let Ok(turn) = Arc::clone(&part.turn).try_lock_owned() {
                    tokio::spawn(part.make(turn, make, self.age, self.costly));
                }
                return Ok(last.value);
            }
        }
        let begun = Stopwatch::now();
        let turn = Arc::clone(&part.turn).lock_owned().await;
        // somebody else has made it meanwhile
        if let Some(last) = part.last().filter(|last| last.made >= begun) {
            return Ok(last.value);
        }
        match tokio::spawn(part.make(turn, make, self.age, self.costly)).await {
            Ok(made) => made,
            Err(stopped) => std::panic::resume_unwind(stopped.into_panic()),
        }
    }

    /// Has it made anew when it is next asked for.
    pub(super) fn forget(&self, name: &str) {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// The same for all.
    pub(super) fn forget_all(&self) {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl<T: Clone> Part<T> {
    fn last(&self) -> Option<Made<T>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn make<E>(
        self: Arc<Self>,
        turn: OwnedMutexGuard<()>,
        make: impl Future<Output = Result<T, E>>,
        age: Duration,
        costly: Duration,
    ) -> Result<T, E> {
        let begun = Stopwatch::now();
        let value = make.await?;
        let took = begun.elapsed();
        let is_costly = took >= costly;
        let good_for = if is_costly { OLDEST.min(took * COSTS) } else { age };
        let made = Made { value: value.clone(), made: Stopwatch::now(), good_for, is_costly };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(made);
        drop(turn);
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Makes a part that says how often it was made, and takes its time.
    fn slow(
        times: &Arc<AtomicU32>,
    ) -> impl Future<Output = Result<Arc<str>, ()>> + Send + 'static + use<> {
        let times = Arc::clone(times);
        async move {
            tokio::time::sleep(Duration::from_millis(150)).await;
            let time = times.fetch_add(1, Ordering::SeqCst) + 1;
            Ok(time.to_string().into())
        }
    }

    #[tokio::test]
    async fn a_costly_part_is_made_once_for_all_and_to_its_end() {
        let (fragments, times) = (Shared::new(EVERY, COSTLY_PART), Arc::new(AtomicU32::new(0)));
        // who asked first goes away; it is made all the same, and the next does not make it again
        let first = fragments.get("a", slow(&times));
        assert!(tokio::time::timeout(Duration::from_millis(20), first).await.is_err());
        let (one, other) =
            tokio::join!(fragments.get("a", slow(&times)), fragments.get("a", slow(&times)));
        assert_eq!((&*one.unwrap(), &*other.unwrap()), ("1", "1"));
        // it is shown until it is too old, made anew once it was forgotten
        assert_eq!(&*fragments.get("a", slow(&times)).await.unwrap(), "1");
        fragments.forget("a");
        assert_eq!(&*fragments.get("a", slow(&times)).await.unwrap(), "2");
    }

    #[tokio::test]
    async fn what_has_no_age_is_made_for_each_who_asks() {
        let quick = Shared::new(Duration::ZERO, COSTLY_SUM);
        let times = Arc::new(AtomicU32::new(0));
        for time in 1..4 {
            let times = Arc::clone(&times);
            let make = async move { Ok::<_, ()>(times.fetch_add(1, Ordering::SeqCst) + 1) };
            assert_eq!(quick.get("a", make).await, Ok(time));
        }
    }
}
