//! WeChat by the vendor's rules, against an account that is as strict as the vendor's pages say.

#[path = "../support/mod.rs"]
mod support;

mod account;
mod answers;
mod permits;
