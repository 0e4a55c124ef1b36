//! Prints messages on the standard error instead of sending them.

use std::io::Write;

use futures_util::future::BoxFuture;

use super::{Incoming, Outcome, Parcel, Provider, Rejected};
use crate::model::ids::Name;

pub(super) struct Console {
    name: Name,
}

impl Console {
    pub(super) fn new(name: Name) -> Self {
        Self { name }
    }
}

impl Provider for Console {
    fn deliver<'a>(&'a self, parcel: &'a Parcel) -> BoxFuture<'a, Outcome> {
        let text = parcel.rendered.text.as_deref().unwrap_or_default();
        // the address stays out: what is printed may end in a log
        let line = format!(
            "{} {} {} {} {text}\n",
            parcel.key, parcel.variant, parcel.content, parcel.recipient
        );
        let outcome = match std::io::stderr().lock().write_all(line.as_bytes()) {
            Ok(()) => Outcome::Accepted { id: None, alias: None },
            Err(_) => Outcome::Failed,
        };
        Box::pin(std::future::ready(outcome))
    }

    fn receive(&self, _: Option<&str>, _: &[u8]) -> Result<Vec<Incoming>, Rejected> {
        Err(Rejected::NoWebhook(self.name.clone()))
    }
}
