//! `periapt bench`.

mod limits;
mod median;
mod report;
mod versus;

use super::args::{BenchArgs, KernelsArg, VariantArg};
use super::{Usage, load, millis, print_json, tuning};
use limits::Limits;
use median::Median;
use periapt_core::decoding::{AmuletParams, Method, MethodName, Strength};
use periapt_core::device::{self, OpenDevice};
use periapt_core::kernels::{Variant, measure};
use periapt_core::model::{Decoder, KvCache, KvType, Logits};
use periapt_core::session::{StepTime, Steps, read};
use report::{Measured, Report};
use std::collections::BTreeMap;
use std::time::Instant;

fn method_of(method: MethodName) -> Result<Method, Usage> {
    let method = method.of_preference(AmuletParams::default(), Strength::default());
    method.ok_or_else(|| {
        Usage(
            "bench measures base, pref, la and amulet: beam search and guidance run the same steps \
             over as many rows as they have beams or streams (--rows)"
                .to_owned(),
        )
    })
}

/// Steps that are not measured, at the beginning of each measurement.
const WARM_UP: usize = 2;

pub fn run(args: &BenchArgs) -> anyhow::Result<()> {
    if args.steps == 0 || args.prefill == 0 || args.rows.contains(&0) || args.context.contains(&0) {
        let least = "--steps, --prefill, --rows and --context must be at least 1";
        return Err(Usage(least.to_owned()).into());
    }
    let methods = args
        .method
        .iter()
        .map(|method| method_of(*method))
        .collect::<Result<Vec<_>, _>>()?;
    if let Some(other) = &args.vs {
        return versus::run(other, args.json);
    }
    let subject = Subject::new(args)?;
    let mut report = Report {
        adapter: subject.device.info.name.clone(),
        model: subject.name.clone(),
        load_ms: subject.load_ms,
        weight_bytes: subject.decoder.weight_bytes(),
        limits: Limits::measure(&subject.device)?,
        results: Vec::new(),
        peak_device_memory_bytes: None,
        peak_host_memory_bytes: None,
    };
    if !args.json {
        report.print_head()?;
    }
    let mut waiting = Vec::new();
    for method in &methods {
        for &context in &args.context {
            for &rows in &args.rows {
                waiting.push(Combination::new(method.clone(), rows, context));
            }
        }
    }
    // In turns, so that what slows the machine down for a while slows all of them; those that are sure leave.
    for repeat in 1..=args.repeats.max(1) {
        let mut left = Vec::new();
        for mut combination in waiting {
            combination.measure(&subject, args)?;
            if repeat < args.repeats && !combination.settled() {
                left.push(combination);
                continue;
            }
            let measured = combination.finish(&subject, args, report.limits)?;
            if !args.json {
                measured.print()?;
            }
            report.results.push(measured);
        }
        waiting = left;
    }
    report
        .results
        .sort_by_key(|measured| measured.place(&methods, args));
    report.peak_device_memory_bytes = measure::device_memory(&subject.device.device);
    report.peak_host_memory_bytes = peak_host_memory();
    match args.json {
        true => print_json(&report),
        false => report.print_tail(),
    }
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
            let loaded = load(&args.model.to_measure())?;
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
        let device = pollster::block_on(device::open(args.model.load.device))?;
        let floor = args.model.load.kernels == KernelsArg::Floor;
        let started = Instant::now();
        let candidates = device.variants(floor);
        let (config, head) = shape.config();
        let layers = config.layers;
        let of = |name: &str, inputs| args.weights.of(name, inputs, layers, head);
        let mut decoder = Decoder::random(config, head, of, &device.device, candidates[0])?;
        let load_ms = millis(started);
        let gpu = device.info.is_gpu();
        match args.variant {
            Some(variant) => decoder.set_variant(variant_of(variant, &candidates)?),
            // As a model's are when it is loaded.
            None if gpu && candidates.len() > 1 => tuning::apply(async |known, now| {
                let adapter = format!("{} {}", device.info.name, device.info.driver);
                Ok(decoder.tune(&candidates, &adapter, known, now).await?)
            })?,
            None => {}
        }
        let kv = if gpu { KvType::F16 } else { KvType::F32 };
        Ok(Self {
            name: format!("random weights, {shape:?} {}", args.weights.name()),
            decoder,
            kv: args.model.load.kv.map_or(kv, KvType::from),
            device,
            load_ms,
        })
    }
}

/// The form of the matrix kernel that has this name among an adapter's.
fn variant_of(variant: VariantArg, candidates: &[Variant]) -> Result<Variant, Usage> {
    let tiled = candidates[0].tiled;
    let with = |variant: Variant| Variant { tiled, ..variant };
    match variant {
        VariantArg::Wide => Ok(with(Variant::WIDE)),
        VariantArg::Narrow => Ok(with(Variant::NARROW)),
        VariantArg::Deep => Ok(with(Variant::DEEP)),
        VariantArg::Subgroup => candidates
            .iter()
            .find(|candidate| candidate.subgroup > 0)
            .copied()
            .ok_or_else(|| Usage("this adapter has no subgroups of a fixed size".to_owned())),
    }
}

/// One method at one number of rows and one depth, and what was measured of it so far.
struct Combination {
    method: Method,
    rows: usize,
    context: usize,
    step_ms: Vec<f64>,
    host_ms: Vec<f64>,
    submit_ms: Vec<f64>,
    prefill_ms: Vec<f64>,
    dispatches: u64,
}

impl Combination {
    fn new(method: Method, rows: usize, context: usize) -> Self {
        Self {
            method,
            rows,
            context,
            step_ms: Vec::new(),
            host_ms: Vec::new(),
            submit_ms: Vec::new(),
            prefill_ms: Vec::new(),
            dispatches: 0,
        }
    }

    fn settled(&self) -> bool {
        Median::settled(&self.step_ms) && Median::settled(&self.prefill_ms)
    }

    fn steps<'a>(&self, subject: &'a Subject, steps: usize) -> anyhow::Result<Steps<'a>> {
        let (decoder, device) = (&subject.decoder, &subject.device);
        let (method, rows, context) = (&self.method, self.rows, self.context);
        Ok(Steps::new(
            decoder, device, method, rows, context, steps, subject.kv,
        )?)
    }

    /// Rows of the batch, and each one's tokens in the measured prefill.
    fn prefill_shape(&self, tokens: usize) -> (usize, usize) {
        let rows = self.rows * self.method.streams().len();
        (rows, (tokens / rows).clamp(1, self.context))
    }

    /// Measures once more.
    fn measure(&mut self, subject: &Subject, args: &BenchArgs) -> anyhow::Result<()> {
        let (rows, length) = self.prefill_shape(args.prefill);
        // The first run compiles kernels.
        if self.prefill_ms.is_empty() {
            prefill(subject, rows, length)?;
        }
        self.prefill_ms.push(prefill(subject, rows, length)?);
        let mut batch = self.steps(subject, WARM_UP + args.steps)?;
        let clock = Instant::now();
        let now = || millis(clock);
        for _ in 0..WARM_UP {
            pollster::block_on(batch.step(&now))?;
        }
        let before = measure::dispatches();
        if args.pipelined {
            let step = pollster::block_on(batch.pipelined(args.steps, &now))?;
            self.step_ms.push(step);
        } else {
            let mut times = Vec::with_capacity(args.steps);
            for _ in 0..args.steps {
                times.push(pollster::block_on(batch.step(&now))?);
            }
            let median = |part: fn(&_) -> f64| {
                Median::of(&times.iter().map(part).collect::<Vec<_>>()).median
            };
            self.step_ms.push(median(|time: &StepTime| time.whole));
            self.host_ms.push(median(|time| time.record));
            self.submit_ms.push(median(|time| time.submit));
        }
        self.dispatches = (measure::dispatches() - before) / args.steps as u64;
        Ok(())
    }

    fn finish(
        self,
        subject: &Subject,
        args: &BenchArgs,
        limits: Option<Limits>,
    ) -> anyhow::Result<Measured> {
        let mut batch = self.steps(subject, WARM_UP)?;
        let clock = Instant::now();
        let now = || millis(clock);
        pollster::block_on(batch.step(&now))?;
        let mut failed = None;
        let step = || failed = pollster::block_on(batch.step(&now)).err();
        let profile = pollster::block_on(measure::profile(step));
        if let Some(error) = failed {
            return Err(error.into());
        }
        let mut kernels_ms = BTreeMap::new();
        for (kernel, time) in profile {
            *kernels_ms.entry(kernel).or_insert(0.0) += time.as_secs_f64() * 1e3;
        }
        let (decoder, device) = (&subject.decoder, &subject.device);
        let (batch_rows, length) = self.prefill_shape(args.prefill);
        let row_bytes = KvCache::row_bytes(decoder.config(), subject.kv, self.context);
        let bytes = decoder.weight_bytes() as u64 + batch_rows as u64 * row_bytes;
        let flops = 2.0 * (decoder.parameters() * batch_rows) as f64;
        let (step, prefill) = (Median::of(&self.step_ms), Median::of(&self.prefill_ms));
        let part = |values: &[f64]| (!values.is_empty()).then(|| Median::of(values).median);
        let per_s = |amount: f64| amount / (step.median / 1e3);
        Ok(Measured {
            device: device.info.kind,
            adapter: device.info.name.clone(),
            method: self.method.name().as_str(),
            rows: self.rows,
            context: self.context,
            pipelined: args.pipelined,
            repeats: self.step_ms.len(),
            prefill_tokens: length * batch_rows,
            prefill_tokens_per_s: (length * batch_rows) as f64 / (prefill.median / 1e3),
            prefill_ms: prefill,
            decode_tokens_per_s: per_s(self.rows as f64),
            step_ms: step.median,
            step_ms_interval: step.interval,
            host_ms: part(&self.host_ms),
            submit_ms: part(&self.submit_ms),
            dispatches_per_step: self.dispatches,
            bytes_per_step: bytes,
            share_of_bandwidth: limits.map(|limits| per_s(bytes as f64) / limits.copy_bytes_per_s),
            share_of_arithmetic: limits.map(|limits| per_s(flops) / limits.fma_flops),
            kernels_ms,
        })
    }
}

/// Milliseconds of a prefill of rows that share nothing.
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
    let started = Instant::now();
    let (Logits(logits), _) = decoder.prefill(&prompts, 0, *kv)?.finish()?;
    pollster::block_on(read(logits, device))?;
    Ok(millis(started))
}

/// The most host memory this process held, where the system says so (Linux).
fn peak_host_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}
