//! `periapt bench`.

use super::args::{BenchArgs, KernelsArg, MethodArg};
use super::{Usage, load, millis, print_json};
use crate::terminal::{self, line};
use indicatif::HumanBytes;
use periapt_core::Error;
use periapt_core::decoding::{AmuletParams, Method};
use periapt_core::device::{self, OpenDevice};
use periapt_core::kernels::measure;
use periapt_core::model::{Decoder, KvCache, KvType, Logits};
use periapt_core::session::{Steps, read};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;
use std::time::Instant;

fn method_of(method: MethodArg) -> Result<Method, Usage> {
    match method {
        MethodArg::Base => Ok(Method::Base),
        MethodArg::Pref => Ok(Method::Pref),
        MethodArg::La => Ok(Method::LinearAlignment {
            strength: Method::LINEAR_ALIGNMENT_STRENGTH,
        }),
        MethodArg::Amulet => Ok(Method::Amulet(AmuletParams::default())),
        MethodArg::Beam | MethodArg::Guidance => Err(Usage(
            "bench measures base, pref, la and amulet: beam search and guidance run the same steps \
             over as many rows as they have beams or streams (--rows)"
                .to_owned(),
        )),
    }
}

/// Tokens of all rows in a measured prefill, at most.
const PREFILL: usize = 256;

#[derive(Debug, Serialize)]
struct Report {
    adapter: String,
    model: String,
    load_ms: f64,
    weight_bytes: usize,
    limits: Option<Limits>,
    results: Vec<Measured>,
    peak_device_memory_bytes: Option<u64>,
    peak_host_memory_bytes: Option<u64>,
}

/// What simple kernels reach on the same adapter in the same run.
#[derive(Debug, Clone, Copy, Serialize)]
struct Limits {
    copy_bytes_per_s: f64,
    fma_flops: f64,
}

#[derive(Debug, Serialize)]
struct Measured {
    device: &'static str,
    adapter: String,
    method: &'static str,
    rows: usize,
    context: usize,
    prefill_tokens: usize,
    prefill_tokens_per_s: f64,
    decode_tokens_per_s: f64,
    /// Median of the measured steps.
    step_ms: f64,
    /// Until a step is recorded; on the CPU backend all of it.
    host_ms: f64,
    /// From there until it is submitted, which with a software driver is when it is computed.
    submit_ms: f64,
    dispatches_per_step: u64,
    /// Weights, keys and values read once.
    bytes_per_step: u64,
    share_of_bandwidth: Option<f64>,
    share_of_arithmetic: Option<f64>,
    /// Milliseconds of one step by kernel, from timestamp queries; each dispatch waits for the one before, so that
    /// their sum is more than `step_ms`.
    kernels_ms: BTreeMap<String, f64>,
}

pub fn run(args: &BenchArgs) -> anyhow::Result<()> {
    if args.steps == 0 || args.rows.contains(&0) || args.context.contains(&0) {
        return Err(Usage("--steps, --rows and --context must be at least 1".to_owned()).into());
    }
    let methods = args
        .method
        .iter()
        .map(|method| method_of(*method))
        .collect::<Result<Vec<_>, _>>()?;
    let subject = Subject::new(args)?;
    let device = &subject.device;
    let limits = limits(device)?;
    let mut results = Vec::new();
    let mut prefills = BTreeMap::new();
    for method in &methods {
        for &context in &args.context {
            for &rows in &args.rows {
                results.push(measure(
                    &subject,
                    method,
                    rows,
                    context,
                    args.steps,
                    limits,
                    &mut prefills,
                )?);
            }
        }
    }
    let report = Report {
        adapter: device.info.name.clone(),
        model: subject.name.clone(),
        load_ms: subject.load_ms,
        weight_bytes: subject.decoder.weight_bytes(),
        limits,
        results,
        peak_device_memory_bytes: measure::device_memory(&device.device),
        peak_host_memory_bytes: peak_host_memory(),
    };
    if args.json {
        return print_json(&report);
    }
    print(&report)
}

fn print(report: &Report) -> anyhow::Result<()> {
    let mut out = terminal::report();
    writeln!(out, "{} on {}", line(&report.model), line(&report.adapter))?;
    let weights = HumanBytes(report.weight_bytes as u64);
    writeln!(
        out,
        "loaded in {:.0} ms, {weights} of weights",
        report.load_ms
    )?;
    if let Some(limits) = report.limits {
        let bandwidth = HumanBytes(limits.copy_bytes_per_s as u64);
        let flops = limits.fma_flops / 1e9;
        writeln!(
            out,
            "a copy moves {bandwidth}/s, multiply-adds reach {flops:.1} GFLOP/s"
        )?;
    }
    writeln!(
        out,
        "{:<7} {:>4} {:>8} {:>11} {:>10} {:>9} {:>8} {:>11} {:>10} {:>10}",
        "method",
        "rows",
        "context",
        "prefill t/s",
        "decode t/s",
        "step ms",
        "host ms",
        "dispatches",
        "bandwidth",
        "arithmetic"
    )?;
    let percent =
        |share: Option<f64>| share.map_or("-".to_owned(), |s| format!("{:.0}%", 100.0 * s));
    for m in &report.results {
        writeln!(
            out,
            "{:<7} {:>4} {:>8} {:>11.1} {:>10.1} {:>9.2} {:>8.2} {:>11} {:>10} {:>10}",
            m.method,
            m.rows,
            m.context,
            m.prefill_tokens_per_s,
            m.decode_tokens_per_s,
            m.step_ms,
            m.host_ms,
            m.dispatches_per_step,
            percent(m.share_of_bandwidth),
            percent(m.share_of_arithmetic),
        )?;
    }
    if let Some(first) = report.results.first().filter(|m| !m.kernels_ms.is_empty()) {
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
        ("device memory", report.peak_device_memory_bytes),
        ("host memory", report.peak_host_memory_bytes),
    ] {
        if let Some(bytes) = bytes {
            writeln!(out, "peak {what}: {}", HumanBytes(bytes))?;
        }
    }
    Ok(())
}

/// What is measured.
struct Subject {
    name: String,
    decoder: Decoder,
    device: OpenDevice,
    kv: KvType,
    load_ms: f64,
}

impl Subject {
    fn new(args: &BenchArgs) -> anyhow::Result<Self> {
        let Some(shape) = args.shape else {
            let loaded = load(&args.model)?;
            let kv = loaded.session.kv;
            let (decoder, device) = loaded.session.into_decoder();
            return Ok(Self {
                name: loaded.path.display().to_string(),
                decoder,
                device,
                kv,
                load_ms: loaded.load_ms,
            });
        };
        let device = pollster::block_on(device::open(args.model.device.into()))?;
        let floor = args.model.kernels == KernelsArg::Floor;
        let started = Instant::now();
        let variant = device.variants(floor)[0];
        let (config, head) = shape.config();
        let dtype = args.weights.into();
        let decoder = Decoder::random(config, head, dtype, &device.device, variant)?;
        let kv = match device.info.kind {
            "gpu" => KvType::F16,
            _ => KvType::F32,
        };
        Ok(Self {
            name: format!("random weights, {shape:?} {dtype}"),
            decoder,
            kv: args.model.kv.map_or(kv, KvType::from),
            device,
            load_ms: millis(started),
        })
    }
}

fn measure(
    subject: &Subject,
    method: &Method,
    rows: usize,
    context: usize,
    steps: usize,
    limits: Option<Limits>,
    prefills: &mut BTreeMap<(usize, usize), f64>,
) -> anyhow::Result<Measured> {
    let Subject {
        decoder,
        device,
        kv,
        ..
    } = subject;
    let mut batch = Steps::new(decoder, device, method, rows, context, steps + 4, *kv)?;
    let batch_rows = batch.rows();
    let length = context.min(PREFILL / batch_rows).max(1);
    let prefill_tokens = length * batch_rows;
    let prefill_ms = match prefills.get(&(batch_rows, length)) {
        Some(ms) => *ms,
        None => prefill(subject, batch_rows, length)?,
    };
    prefills.insert((batch_rows, length), prefill_ms);
    let clock = Instant::now();
    let now = || millis(clock);
    let mut step = || pollster::block_on(batch.step(&now));
    step()?;
    step()?;
    let before = measure::dispatches();
    let mut times = Vec::with_capacity(steps);
    for _ in 0..steps {
        times.push(step()?);
    }
    let dispatches = (measure::dispatches() - before) / steps as u64;
    let median = |mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let step_ms = median(times.iter().map(|time| time.whole).collect());
    let host_ms = median(times.iter().map(|time| time.record).collect());
    let submit_ms = median(times.iter().map(|time| time.submit).collect());

    let mut failed = None;
    let profile = pollster::block_on(measure::profile(|| failed = step().err()));
    if let Some(error) = failed {
        return Err(error.into());
    }
    let mut kernels_ms = BTreeMap::new();
    for (kernel, time) in profile {
        *kernels_ms.entry(kernel).or_insert(0.0) += time.as_secs_f64() * 1e3;
    }

    let row_bytes = KvCache::row_bytes(decoder.config(), *kv, context);
    let bytes = decoder.weight_bytes() as u64 + batch_rows as u64 * row_bytes;
    let flops = 2.0 * (decoder.parameters() * batch_rows) as f64;
    let per_s = |amount: f64| amount / (step_ms / 1e3);
    Ok(Measured {
        device: device.info.kind,
        adapter: device.info.name.clone(),
        method: method.name(),
        rows,
        context,
        prefill_tokens,
        prefill_tokens_per_s: prefill_tokens as f64 / (prefill_ms / 1e3),
        decode_tokens_per_s: per_s(rows as f64),
        step_ms,
        host_ms,
        submit_ms,
        dispatches_per_step: dispatches,
        bytes_per_step: bytes,
        share_of_bandwidth: limits.map(|limits| per_s(bytes as f64) / limits.copy_bytes_per_s),
        share_of_arithmetic: limits.map(|limits| per_s(flops) / limits.fma_flops),
        kernels_ms,
    })
}

/// Milliseconds of a prefill of rows that share nothing; the first run, which compiles kernels, does not count.
fn prefill(subject: &Subject, rows: usize, length: usize) -> anyhow::Result<f64> {
    let Subject {
        decoder,
        device,
        kv,
        ..
    } = subject;
    let vocab = decoder.config().vocab;
    let prompts: Vec<Vec<u32>> = (0..rows)
        .map(|row| {
            (0..length)
                .map(|i| ((7 * i + 13 * row + 1) % vocab) as u32)
                .collect()
        })
        .collect();
    let mut last = 0.0;
    for _ in 0..2 {
        let started = Instant::now();
        let (Logits(logits), _) = decoder.prefill(&prompts, 0, *kv)?.finish()?;
        pollster::block_on(read(logits, device))?;
        last = millis(started);
    }
    Ok(last)
}

/// What the adapter reaches with a copy and with multiply-adds; `None` on the CPU backend, whose kernels are not
/// these.
fn limits(device: &OpenDevice) -> anyhow::Result<Option<Limits>> {
    const LENGTH: usize = 1 << 24;
    const ROUNDS: usize = 64;
    if device.info.kind != "gpu" {
        return Ok(None);
    }
    let x = measure::vector(&vec![0.5; LENGTH], &device.device);
    let time = |run: &dyn Fn() -> measure::Vector| -> Result<f64, Error> {
        let mut best = f64::INFINITY;
        for _ in 0..4 {
            let started = Instant::now();
            // One number is read back, to wait for all.
            let result = run().narrow(0, 0, 1).reshape([1, 1]);
            pollster::block_on(read(result, device))?;
            best = best.min(started.elapsed().as_secs_f64());
        }
        Ok(best)
    };
    let copy = time(&|| measure::copy(x.clone()))?;
    let fma = time(&|| measure::fma_chain(x.clone(), ROUNDS))?;
    Ok(Some(Limits {
        copy_bytes_per_s: 2.0 * 4.0 * LENGTH as f64 / copy,
        fma_flops: 2.0 * (LENGTH * ROUNDS) as f64 / fma,
    }))
}

/// The most host memory this process held, where the system says so (Linux).
fn peak_host_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}
