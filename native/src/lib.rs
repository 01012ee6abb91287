//! Periapt on the command line: arguments, the model store, and what is printed.

pub mod cli;
pub mod store;
