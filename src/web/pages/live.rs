//! Parts of pages that are kept up to date, told as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant as Stopwatch;

use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use futures_util::stream::unfold;
use maud::{Markup, html};

use super::frame::{NoPage, moment};
use crate::web::app::App;
use crate::web::shared::{COSTLY_PART, EVERY};

/// A part, made once for all who look. One that is costly, and may be shown as it was, says when that was.
pub(super) async fn part(
    app: &App,
    name: &str,
    make: impl Future<Output = Result<Markup, NoPage>> + Send + 'static,
) -> Result<Arc<str>, NoPage> {
    let clock = app.ctx.clock.clone();
    let made = async move {
        let (begun, at) = (Stopwatch::now(), clock.now());
        let part = make.await?;
        let old = begun.elapsed() >= COSTLY_PART;
        let part = html! { (part) @if old { p.faint { "As of " (moment(at)) "." } } };
        Ok(part.into_string().into())
    };
    app.fragments.get(name, made).await
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
