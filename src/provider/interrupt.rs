//! Calls to providers that end when the daemon must: a call that is cut off is in doubt, and so is
//! one that panics.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use super::{Incoming, OutboundMessage, Provider, Rejected, SendOutcome, Update};
use crate::model::content::Media;
use crate::model::ids::Name;
use crate::model::time::Instant;

/// The same providers, whose calls end once `cut` turns true.
pub fn interruptible(
    providers: &BTreeMap<Name, Arc<dyn Provider>>,
    cut: &watch::Receiver<bool>,
) -> BTreeMap<Name, Arc<dyn Provider>> {
    let wrap = |(name, inner): (&Name, &Arc<dyn Provider>)| {
        let (inner, cut) = (Arc::clone(inner), cut.clone());
        let wrapped: Arc<dyn Provider> = Arc::new(Interruptible { name: name.clone(), inner, cut });
        (name.clone(), wrapped)
    };
    providers.iter().map(wrap).collect()
}

struct Interruptible {
    name: Name,
    inner: Arc<dyn Provider>,
    cut: watch::Receiver<bool>,
}

impl Interruptible {
    /// The call's answer, or `otherwise` where there is none.
    async fn guard<T>(&self, call: impl Future<Output = T>, otherwise: T) -> T {
        let mut cut = self.cut.clone();
        tokio::select! {
            answer = AssertUnwindSafe(call).catch_unwind() => answer.unwrap_or_else(|_| {
                tracing::error!(provider = %self.name, "a call to a provider panicked");
                otherwise
            }),
            // whoever could cut is gone: nothing is cut any more
            Ok(_) = cut.wait_for(|cut| *cut) => otherwise,
        }
    }
}

impl Provider for Interruptible {
    fn send<'a>(&'a self, message: &'a OutboundMessage) -> BoxFuture<'a, SendOutcome> {
        Box::pin(self.guard(self.inner.send(message), SendOutcome::InDoubt))
    }

    fn upload<'a>(&'a self, media: Media, url: &'a str) -> BoxFuture<'a, Option<String>> {
        Box::pin(self.guard(self.inner.upload(media, url), None))
    }

    fn verify(&self, value: &dyn Fn(&str) -> Option<String>) -> Option<String> {
        self.inner.verify(value)
    }

    fn receive(&self, signature: Option<&str>, body: &[u8]) -> Result<Vec<Incoming>, Rejected> {
        self.inner.receive(signature, body)
    }

    fn collect(&self, now: Instant) -> Vec<Update> {
        self.inner.collect(now)
    }
}
