//! The readers of outside input, compiled apart from the rest of core and the program, for the fuzz targets.

// The program's own files name core as it is called there.
extern crate self as periapt_core;

pub mod cli;
pub mod decoding;
#[path = "../../core/src/formats/mod.rs"]
pub mod formats;
pub mod terminal;
#[path = "../../core/src/options.rs"]
pub mod options;
#[path = "../../core/src/text/mod.rs"]
pub mod text;
pub mod tpo;

pub mod reward;

pub mod contract;

#[path = "../../core/src/device/info.rs"]
pub mod device_info;

pub mod device {
    pub use crate::device_info::DeviceInfo;
}

#[path = "../../core/src/model/kv_type.rs"]
pub mod kv_type;

pub mod model {
    pub use crate::kv_type::KvType;
}

pub mod session {
    pub use crate::tpo::FinishReason;
}
