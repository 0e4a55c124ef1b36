//! Wall clocks: the one place where instants become local time and local time becomes instants.
//!
//! - [`tables`]: which tables of the tz database are in use, and the offsets that they tell
//! - [`zone`]: instant ↔ wall time, and the hours of the local week that a slot overlaps
//! - [`told`]: the zone that a person's cell names, however other programs spell it
//! - [`infer`]: where a person probably is, from country or telephone number
//! - [`law`]: one country's law on hours: whom it binds, what it forbids on a day
//! - [`rules`]: all of them, read from data with their sources, and a workspace's additions
//! - [`holidays`]: public holidays, computed
//! - [`quiet`]: all that forbids an instant for one group of people, and who forbids it
//! - [`window`]: the slots that remain
//! - [`working`]: the weekly hours of those who answer
//!
//! Refuses to read a clock: `now` is an argument. The only files read are the system's zone tables,
//! once. *Invariant:* no other module adds or takes away
//! an offset, and every question about a span of time is answered right across changes of it.

pub mod holidays;
pub mod infer;
pub mod law;
pub mod quiet;
pub mod recurring;
pub mod rules;
pub mod tables;
pub mod told;
pub mod window;
pub mod working;
pub mod zone;
