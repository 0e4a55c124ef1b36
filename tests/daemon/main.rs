//! The daemon for real: its own process, the real clock, real HTTP on loopback, real signals.

#[path = "../support/server.rs"]
mod server;
#[path = "../support/mod.rs"]
mod support;

mod browser;
mod consent;
mod full_disk;
mod logs;
mod pages;
mod scene;
mod schema;
mod sending;
mod service;
mod stopping;
mod supervision;
