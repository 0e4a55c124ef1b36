//! Plan.
mod assign;
mod market;
mod order;
mod prices;
mod repair;
