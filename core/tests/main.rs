//! Kernels against their CPU twins, and whole steps of tiny models. What counts a process's memory is a program of its own.

#![allow(clippy::unwrap_used)]

mod common;
#[path = "../../tests/common/tiny.rs"]
mod tiny;

mod attention;
mod decoder;
mod families;
mod fit;
mod forms;
mod kernels;
mod sampling;
mod session;
