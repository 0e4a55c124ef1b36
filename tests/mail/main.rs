//! Mails through a real mail server, which refuses by script; what comes back of them; and the way out.

#[path = "../support/mod.rs"]
mod support;

mod bounces;
mod refusals;
mod scene;
mod sending;
mod way_out;
