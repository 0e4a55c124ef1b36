//! Parts of pages that are kept up to date, told as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;

use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use futures_util::stream::unfold;

use super::frame::NoPage;
use crate::web::app::App;
use crate::web::fragments::EVERY;

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
