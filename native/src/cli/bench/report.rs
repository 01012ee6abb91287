//! What `periapt bench` says, as JSON and as a table.

use super::limits::Limits;
use super::median::Median;
use crate::cli::args::BenchArgs;
use crate::terminal;
use indicatif::HumanBytes;
use periapt_core::decoding::Method;
use periapt_core::device::Kind;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;

#[derive(Debug, Serialize)]
pub struct Report {
    pub adapter: String,
    pub model: String,
    pub load_ms: f64,
    pub weight_bytes: usize,
    pub limits: Option<Limits>,
    pub results: Vec<Measured>,
    pub peak_device_memory_bytes: Option<u64>,
    pub peak_host_memory_bytes: Option<u64>,
}

#[derive(Debug, Serialize)]
pub struct Measured {
    pub device: Kind,
    pub adapter: String,
    pub method: &'static str,
    pub rows: usize,
    pub context: usize,
    /// As generation runs: the next step is recorded while this one is computed.
    pub pipelined: bool,
    /// Measurements.
    pub repeats: usize,
    pub prefill_tokens: usize,
    pub prefill_tokens_per_s: f64,
    pub prefill_ms: Median,
    pub decode_tokens_per_s: f64,
    /// Median of the measurements, each the median of its steps (pipelined: their mean).
    pub step_ms: f64,
    pub step_ms_interval: [f64; 2],
    /// Until a step is recorded; on the CPU backend all of it.
    pub host_ms: Option<f64>,
    /// From there until it is submitted, which with a software driver is when it is computed.
    pub submit_ms: Option<f64>,
    pub dispatches_per_step: u64,
    /// Weights, keys and values read once.
    pub bytes_per_step: u64,
    pub share_of_bandwidth: Option<f64>,
    pub share_of_arithmetic: Option<f64>,
    /// Milliseconds of one step by kernel, from timestamp queries; each dispatch waits for the one before, so that
    /// their sum is more than `step_ms`.
    pub kernels_ms: BTreeMap<String, f64>,
}

impl Report {
    /// What is known before the first result, and the table's head.
    pub fn print_head(&self) -> anyhow::Result<()> {
        let mut out = terminal::report();
        writeln!(
            out,
            "{} on {}",
            terminal::line(&self.model),
            terminal::line(&self.adapter)
        )?;
        let weights = HumanBytes(self.weight_bytes as u64);
        writeln!(
            out,
            "loaded in {:.0} ms, {weights} of weights",
            self.load_ms
        )?;
        if let Some(limits) = self.limits {
            let bandwidth = HumanBytes(limits.copy_bytes_per_s as u64);
            let flops = limits.fma_flops / 1e9;
            writeln!(
                out,
                "a copy moves {bandwidth}/s, multiply-adds reach {flops:.1} GFLOP/s"
            )?;
        }
        writeln!(
            out,
            "{:<7} {:>4} {:>8} {:>11} {:>10} {:>22} {:>8} {:>11} {:>10} {:>10}",
            "method",
            "rows",
            "context",
            "prefill t/s",
            "decode t/s",
            "step ms (95%)",
            "host ms",
            "dispatches",
            "bandwidth",
            "arithmetic"
        )?;
        Ok(())
    }

    /// What follows the table.
    pub fn print_tail(&self) -> anyhow::Result<()> {
        let mut out = terminal::report();
        if let Some(first) = self.results.first().filter(|m| !m.kernels_ms.is_empty()) {
            writeln!(
                out,
                "by kernel, {} {} at {}:",
                first.method, first.rows, first.context
            )?;
            for (kernel, ms) in &first.kernels_ms {
                writeln!(out, "  {ms:>8.3} ms  {kernel}")?;
            }
        }
        for (what, bytes) in [
            ("device memory", self.peak_device_memory_bytes),
            ("host memory", self.peak_host_memory_bytes),
        ] {
            if let Some(bytes) = bytes {
                writeln!(out, "peak {what}: {}", HumanBytes(bytes))?;
            }
        }
        Ok(())
    }
}

impl Measured {
    /// Its line of the table.
    pub fn print(&self) -> anyhow::Result<()> {
        let mut out = terminal::report();
        let percent =
            |share: Option<f64>| share.map_or("-".to_owned(), |s| format!("{:.0}%", 100.0 * s));
        let [low, high] = self.step_ms_interval;
        writeln!(
            out,
            "{:<7} {:>4} {:>8} {:>11.1} {:>10.1} {:>22} {:>8} {:>11} {:>10} {:>10}",
            self.method,
            self.rows,
            self.context,
            self.prefill_tokens_per_s,
            self.decode_tokens_per_s,
            format!("{:.2} ({low:.2} - {high:.2})", self.step_ms),
            self.host_ms.map_or("-".to_owned(), |ms| format!("{ms:.2}")),
            self.dispatches_per_step,
            percent(self.share_of_bandwidth),
            percent(self.share_of_arithmetic),
        )?;
        Ok(())
    }

    /// Its place among the combinations as they were asked for.
    pub fn place(&self, methods: &[Method], args: &BenchArgs) -> [Option<usize>; 3] {
        [
            methods
                .iter()
                .position(|method| method.name().as_str() == self.method),
            args.context
                .iter()
                .position(|context| *context == self.context),
            args.rows.iter().position(|rows| *rows == self.rows),
        ]
    }
}
