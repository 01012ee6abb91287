//! What simple kernels reach on an adapter: the ceiling that a step is held against.

use periapt_core::kernels::measure::{self, Vector};
use periapt_core::session::read;
use periapt_core::{Error, OpenDevice};
use serde::Serialize;
use std::time::Instant;

#[derive(Debug, Clone, Copy, Serialize)]
pub struct Limits {
    pub copy_bytes_per_s: f64,
    pub fma_flops: f64,
}

/// Rounds of a multiply-add chain, and its numbers: within the workgroups of one dimension.
const ROUNDS: usize = 64;
const FMA_LENGTH: usize = 1 << 24;

/// Measurements, of which the fastest counts.
const REPEATS: usize = 3;

impl Limits {
    /// What the adapter reaches with copies and with multiply-adds, many in one submission, so that neither the launch
    /// nor the readback counts; `None` on the CPU backend, whose kernels are not these.
    pub fn measure(device: &OpenDevice) -> Result<Option<Self>, Error> {
        if !device.info.is_gpu() {
            return Ok(None);
        }
        // 256 MiB are past any cache; a software adapter takes seconds for them.
        let (length, copies) = match device.info.software {
            true => (1 << 24, 4),
            false => (1 << 26, 32),
        };
        let x = measure::vector(&vec![0.5; length], &device.device);
        let time = |copies: usize, run: &dyn Fn() -> Vector| -> Result<f64, Error> {
            let mut best = f64::INFINITY;
            for _ in 0..REPEATS {
                let started = Instant::now();
                for _ in 1..copies {
                    drop(run());
                }
                // One number is read back, to wait for all.
                pollster::block_on(read(run().narrow(0, 0, 1).reshape([1, 1]), device))?;
                best = best.min(started.elapsed().as_secs_f64() / copies as f64);
            }
            Ok(best)
        };
        let copy = time(copies, &|| measure::copy(x.clone()))?;
        let short = x.clone().narrow(0, 0, FMA_LENGTH);
        let fma = time(copies, &|| measure::fma_chain(short.clone(), ROUNDS))?;
        Ok(Some(Self {
            copy_bytes_per_s: 2.0 * 4.0 * length as f64 / copy,
            fma_flops: 2.0 * (FMA_LENGTH * ROUNDS) as f64 / fma,
        }))
    }
}
