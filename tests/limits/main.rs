//! Limits end to end: from settings, campaign files and what is stored to what is planned and sent.

#[path = "../planning/mod.rs"]
mod planning;
#[path = "../support/mod.rs"]
mod support;

mod commands;
mod fatigue;
mod steps;
mod uplift;
