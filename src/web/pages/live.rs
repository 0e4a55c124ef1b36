//! Parts of pages that are kept up to date: made once for all who look, told as server-sent events.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant as Stopwatch};

use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use futures_util::stream::unfold;
use maud::Markup;
use tokio::sync::Mutex;

use super::layout::NoPage;
use crate::web::App;

/// How often a part is told anew, at most.
const EVERY: Duration = Duration::from_secs(2);
/// How old it may get where it is costly to make: so many times what making it took.
const COSTS: u32 = 20;
/// The oldest that is shown.
const OLDEST: Duration = Duration::from_mins(1);
/// Parts that are kept.
const KEPT_MAX: usize = 500;

/// Parts by their name, each as it was last made.
#[derive(Default)]
pub(in crate::web) struct Fragments(Mutex<HashMap<String, Arc<Mutex<Option<Fragment>>>>>);

struct Fragment {
    html: Arc<str>,
    made: Stopwatch,
    good_for: Duration,
}

impl Fragments {
    /// The part, made anew where it is too old; who comes while it is made waits for it.
    pub(super) async fn get(
        &self,
        name: &str,
        make: impl Future<Output = Result<Markup, NoPage>>,
    ) -> Result<Arc<str>, NoPage> {
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

/// Tells a part again and again, until the page is closed or the daemon stops.
pub(super) fn events<F>(
    app: App,
    part: impl Fn(App) -> F + Send + 'static,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>>
where
    F: Future<Output = Result<Arc<str>, NoPage>> + Send + 'static,
{
    let told = unfold((app, part, None::<Arc<str>>), async |(app, part, last)| {
        let mut stop = app.stop.clone();
        loop {
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                _ = stop.wait_for(|stop| *stop) => return None,
            }
            let Ok(html) = part(app.clone()).await else { continue };
            if last.as_ref() != Some(&html) {
                let event = Event::default().data(&*html);
                return Some((Ok(event), (app, part, Some(html))));
            }
        }
    });
    Sse::new(told).keep_alive(KeepAlive::default())
}
