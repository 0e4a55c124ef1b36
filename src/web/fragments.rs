//! Parts of pages, made once for all who look.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant as Stopwatch};

use maud::Markup;
use tokio::sync::Mutex;

/// How often a part is told anew, at most.
pub(super) const EVERY: Duration = Duration::from_secs(2);
/// How old it may get where it is costly to make: so many times what making it took.
const COSTS: u32 = 20;
/// The oldest that is shown.
const OLDEST: Duration = Duration::from_mins(1);
/// Parts that are kept.
const KEPT_MAX: usize = 500;

/// Parts by their name, each as it was last made.
#[derive(Default)]
pub(super) struct Fragments(Mutex<HashMap<String, Arc<Mutex<Option<Fragment>>>>>);

struct Fragment {
    html: Arc<str>,
    made: Stopwatch,
    good_for: Duration,
}

impl Fragments {
    /// The part, made anew where it is too old; who comes while it is made waits for it.
    pub(super) async fn get<E>(
        &self,
        name: &str,
        make: impl Future<Output = Result<Markup, E>>,
    ) -> Result<Arc<str>, E> {
        let kept = {
            let mut all = self.0.lock().await;
            if all.len() >= KEPT_MAX && !all.contains_key(name) {
                all.clear();
            }
            Arc::clone(all.entry(name.to_owned()).or_default())
        };
        let mut kept = kept.lock().await;
        if let Some(fragment) = &*kept
            && fragment.made.elapsed() < fragment.good_for
        {
            return Ok(Arc::clone(&fragment.html));
        }
        let begun = Stopwatch::now();
        let html: Arc<str> = make.await?.into_string().into();
        let good_for = (begun.elapsed() * COSTS).clamp(EVERY, OLDEST);
        *kept = Some(Fragment { html: Arc::clone(&html), made: Stopwatch::now(), good_for });
        Ok(html)
    }

    /// Has a part made anew when it is next asked for.
    pub(super) async fn forget(&self, name: &str) {
        self.0.lock().await.remove(name);
    }
}
