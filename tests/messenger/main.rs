//! Messenger by the vendor's rules, against a page that is as strict as the vendor's pages say.

#[path = "../support/mod.rs"]
mod support;

mod page;
mod rights;
mod subscriptions;
