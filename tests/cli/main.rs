//! The binary as people use it: what works, and what each bad input is told.

#[path = "../support/mod.rs"]
mod support;

mod campaigns;
mod habits;
mod imports;
mod people;
mod replies;
mod scene;
mod settings;
