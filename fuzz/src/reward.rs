//! Of core's rewards what records hold.
#![allow(dead_code)]

#[path = "../../core/src/reward/cut.rs"]
mod cut;
#[path = "../../core/src/reward/name.rs"]
mod name;

pub use cut::Cut;
pub use name::RewardName;
