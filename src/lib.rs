//! `opportune` learns, for each person, when and with what they like to be written to, plans opt-in
//! messages into time slots under all limits at once, and sends them.
//!
//! # The modules, from the core outwards
//!
//! | module       | owns                                                                          |
//! |--------------|-------------------------------------------------------------------------------|
//! | [`model`]    | the nouns: values that cannot be wrong; knows nothing else                    |
//! | [`calendar`] | local weeks, zones, summer time, quiet hours, country rules: instant ↔ slot   |
//! | [`clock`]    | the time, real or virtual                                                     |
//! | [`config`]   | the settings: raw, then checked                                               |
//! | [`pictures`] | tables and drawings in HTML, which pages and reports share                    |
//! | [`world`]    | invented people with hidden habits: the known truth                           |
//! | [`segment`]  | named audiences: expressions over what is known of a person                   |
//! | [`files`]    | the CSV files that people bring and take                                      |
//! | [`learn`]    | history → preferences                                                         |
//! | [`plan`]     | preferences + campaigns + rules → plans, with a certificate                   |
//! | [`provider`] | the channels: a trait, one file a channel                                     |
//! | [`store`]    | everything that is kept, on SQLite or PostgreSQL                              |
//! | [`work`]     | the idempotent steps that read the state and move it on                       |
//! | [`web`]      | the daemon's listener: webhooks, the API, the pages                           |
//! | [`replay`]   | the same steps on a virtual clock                                             |
//! | [`daemon`]   | cron triggers, signals and the watched background tasks                       |
//! | [`report`]   | what replays and evaluations found, as pages and tables of numbers            |
//! | [`demo`]     | the main job, end to end, in a small invented world                           |
//! | [`cli`]      | a file a verb; the only standard output                                       |
//!
//! Dependencies point one way: `cli → daemon, demo → report → replay → web → work → learn, plan,
//! store, provider, files, segment → clock, config, world, pictures → calendar → model`. A module may use what stands to
//! its right; modules between two arrows do not see each other.
//!
//! # Invariants
//!
//! - *Invariant:* [`learn`], [`plan`], [`calendar`] and [`world`] read no clock, no store and no
//!   file, log nothing, and draw no chance that was not given to them; but [`calendar`] reads the
//!   system's zone tables, once.
//! - *Invariant:* [`calendar::zone`] alone tells what clocks show; chrono-tz gives names only.
//! - *Invariant:* sqlx is named in [`store`] alone, linfa in [`learn`] alone, the cron scheduler in
//!   [`daemon`] alone, clap in [`cli`] alone.
//! - *Invariant:* nobody is sent to whose consent has ended, and nothing leaves in a quiet hour of
//!   the person's own clock: both are looked at once more before the call.
//! - *Invariant:* whoever is inside a transaction has no second way to the database: it is given a
//!   [`work::StepEnv`], which has no store.
//! - *Invariant:* a webhook speaks for its own provider, and touches no message of another.
//! - *Invariant:* everybody of an audience is in exactly one state, with a reason.
//! - *Invariant:* no lock is held and no transaction open while a provider is called.
//!
//! # Three walkthroughs
//!
//! *A history comes in.* `cli::import` opens the file, [`files`] turns rows into models or refuses
//! them with line, column and value, [`work::import`] puts them into the [`store`] chunk by chunk.
//! [`work::learn`] folds what is new into each person's packed evidence and fits a model of the
//! population; a person's preference is computed from both when it is asked for.
//!
//! *A campaign is planned.* `campaign submit` checks the file against the rules and stores it. The
//! next [`work::plan`] step reads people, evidence and model, hands them to [`plan`] as values, and
//! stores a decision for everybody: a slot, a variant and an arm, or a refusal with its reason.
//!
//! *A message goes out and comes back.* A delivery is one row from the decision to the last answer.
//! [`work::dispatch`] takes what is due out of the queue into a claim, checks each message once more,
//! calls the provider, and settles the batch in the transaction that claims the next. What comes back
//! enters through [`web`] or the provider itself, is parsed into updates, and [`work::receive`] writes
//! it onto the delivery, where the next learning finds it.

#![warn(unreachable_pub)]
// the tests beside the code, which unwrap and print, are held to the plain lints
#![cfg_attr(
    not(test),
    warn(
        clippy::pedantic,
        clippy::allow_attributes,
        clippy::unwrap_used,
        clippy::print_stdout,
        clippy::dbg_macro,
        clippy::todo
    )
)]
// numbers of messages and hours fit every type they are cast to; a cast that could lose is checked
// where it stands; texts for people are short, and a write! that cannot fail would need an expect
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    clippy::module_name_repetitions,
    clippy::missing_panics_doc,
    clippy::missing_errors_doc,
    clippy::must_use_candidate,
    clippy::too_many_lines,
    clippy::similar_names,
    clippy::many_single_char_names,
    clippy::struct_field_names,
    clippy::format_push_string,
    clippy::format_collect
)]

pub mod calendar;
pub mod cli;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod demo;
pub mod files;
pub mod learn;
pub mod model;
pub mod pictures;
pub mod plan;
pub mod provider;
pub mod replay;
pub mod report;
pub mod segment;
pub mod store;
pub mod web;
pub mod work;
pub mod world;
