//! Periapt on the command line: arguments, the model store, and what is printed.

// What is printed goes through `terminal`.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod cli;
pub mod output;
pub mod store;
pub mod terminal;
