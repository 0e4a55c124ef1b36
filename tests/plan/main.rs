//! Plans keep every rule and limit, prove how good they are, and agree with an exact solver.

#[path = "../planning/mod.rs"]
mod planning;

mod added;
mod arms;
mod corrected;
mod fatigue;
mod limits;
mod milp;
mod optimum;
mod rules;
mod stage;
