//! Tests of what crosses crates: the library and the program `periapt`, real servers, the real small model. One
//! program, so that the engine is compiled and linked into one; `cargo test --test all NAME` runs a part.

#![allow(clippy::unwrap_used)]

mod common;

mod api;
mod catalogue;
mod chat;
mod cli;
mod config;
mod contract;
mod engine;
mod eval;
mod folders;
mod golden;
mod hostile;
mod hub;
mod input;
mod layers;
mod learn;
mod net;
#[cfg(unix)]
mod output;
mod refined;
mod remote;
mod score;
mod serve;
mod several;
mod store;
mod suite;
mod texts;
mod tpo;
mod trust;
#[cfg(unix)]
mod wheels;
