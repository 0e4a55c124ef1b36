//! Parts of pages, made once for all who look.
//!
//! A part that is costly to make is shown as it was while it is made anew, and is made to its end
//! whether or not somebody waits for it: a campaign of a million people is counted once, not once a visit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant as Stopwatch};

use maud::Markup;
use tokio::sync::{Mutex as Turns, OwnedMutexGuard};

/// How often a part is told anew, at most.
pub(super) const EVERY: Duration = Duration::from_secs(2);
/// How old it may get where it is costly to make: so many times what making it took.
const COSTS: u32 = 20;
/// The age at which every part is made anew.
const OLDEST: Duration = Duration::from_mins(1);
/// A part that nobody looked at for longer is not shown as it was.
const FORGOTTEN: Duration = Duration::from_mins(10);
/// Parts that are kept.
const KEPT_MAX: usize = 500;

/// Parts by their name, each as it was last made.
#[derive(Default)]
pub(super) struct Fragments(Mutex<HashMap<String, Arc<Part>>>);

#[derive(Default)]
struct Part {
    last: Mutex<Option<Fragment>>,
    /// Whose turn it is to make it.
    turn: Arc<Turns<()>>,
}

#[derive(Clone)]
struct Fragment {
    html: Arc<str>,
    made: Stopwatch,
    good_for: Duration,
}

impl Fragments {
    /// The part, made anew where it is too old; who comes before it was ever made waits for it.
    pub(super) async fn get<E: Send + 'static>(
        &self,
        name: &str,
        make: impl Future<Output = Result<Markup, E>> + Send + 'static,
    ) -> Result<Arc<str>, E> {
        let part = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if all.len() >= KEPT_MAX && !all.contains_key(name) {
                all.clear();
            }
            Arc::clone(all.entry(name.to_owned()).or_default())
        };
        if let Some(last) = part.last() {
            let age = last.made.elapsed();
            if age < last.good_for {
                return Ok(last.html);
            }
            // what is quickly made is worth waiting for
            if last.good_for > EVERY && age < FORGOTTEN {
                if let Ok(turn) = Arc::clone(&part.turn).try_lock_owned() {
                    tokio::spawn(part.make(turn, make));
                }
                return Ok(last.html);
            }
        }
        let begun = Stopwatch::now();
        let turn = Arc::clone(&part.turn).lock_owned().await;
        // somebody else has made it meanwhile
        if let Some(last) = part.last().filter(|last| last.made >= begun) {
            return Ok(last.html);
        }
        match tokio::spawn(part.make(turn, make)).await {
            Ok(made) => made,
            Err(stopped) => std::panic::resume_unwind(stopped.into_panic()),
        }
    }

    /// Has a part made anew when it is next asked for.
    pub(super) fn forget(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

impl Part {
    fn last(&self) -> Option<Fragment> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn make<E>(
        self: Arc<Self>,
        turn: OwnedMutexGuard<()>,
        make: impl Future<Output = Result<Markup, E>>,
    ) -> Result<Arc<str>, E> {
        let begun = Stopwatch::now();
        let html: Arc<str> = make.await?.into_string().into();
        let good_for = (begun.elapsed() * COSTS).clamp(EVERY, OLDEST);
        let made = Fragment { html: Arc::clone(&html), made: Stopwatch::now(), good_for };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(made);
        drop(turn);
        Ok(html)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use maud::html;

    use super::*;

    /// Makes a part that says how often it was made, and takes its time.
    fn slow(
        times: &Arc<AtomicU32>,
    ) -> impl Future<Output = Result<Markup, ()>> + Send + 'static + use<> {
        let times = Arc::clone(times);
        async move {
            tokio::time::sleep(Duration::from_millis(150)).await;
            let time = times.fetch_add(1, Ordering::SeqCst) + 1;
            Ok(html! { (time) })
        }
    }

    #[tokio::test]
    async fn a_costly_part_is_made_once_for_all_and_to_its_end() {
        let (fragments, times) = (Fragments::default(), Arc::new(AtomicU32::new(0)));
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
}
