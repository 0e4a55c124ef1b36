//! Prints messages on the standard error instead of sending them.

use std::io::Write;

use futures_util::future::BoxFuture;

use super::{Incoming, OutboundMessage, Provider, RefusalScope, Rejected, SendOutcome};
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
    fn send<'a>(&'a self, message: &'a OutboundMessage) -> BoxFuture<'a, SendOutcome> {
        let text = message.rendered.text.as_deref().unwrap_or_default();
        // the address stays out: what is printed may end in a log
        let line = format!(
            "{} {} {} {} {text}\n",
            message.key, message.variant, message.content, message.recipient
        );
        let outcome = if std::io::stderr().lock().write_all(line.as_bytes()).is_ok() {
            SendOutcome::Accepted { id: None, alias: None }
        } else {
            let words = "the standard error cannot be written to";
            SendOutcome::refused(RefusalScope::Account, None, words)
        };
        Box::pin(std::future::ready(outcome))
    }

    fn receive(&self, _: Option<&str>, _: &[u8]) -> Result<Vec<Incoming>, Rejected> {
        Err(Rejected::NoWebhook(self.name.clone()))
    }
}
