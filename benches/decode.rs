//! What a decode step costs: rows against one row, and the GPU against the CPU backend, measured
//! side by side in one run. Run with `make bench`; ratios carry over to other machines, the
//! milliseconds don't.

#![allow(clippy::unwrap_used)]

use periapt_core::Session;
use periapt_core::device::{self, DeviceChoice};
use periapt_core::model::{KvCache, Logits};
use periapt_core::session::read;
use std::fs::File;
use std::io::BufReader;
use std::time::Instant;

/// Rows of a batch: base or pref, Amulet's two streams, and two more sizes.
const ROWS: [usize; 4] = [1, 2, 4, 8];
const PROMPT: usize = 64;
const STEPS: usize = 6;

fn main() {
    let Some(path) = std::env::var_os("PERIAPT_TEST_MODEL") else {
        eprintln!("PERIAPT_TEST_MODEL names no model file; `make bench` sets it");
        return;
    };
    println!(
        "{:<40} {:>5} {:>12} {:>12} {:>14}",
        "device", "rows", "prefill ms", "step ms", "step / 1 row"
    );
    for choice in [DeviceChoice::Gpu, DeviceChoice::Cpu] {
        let device = match pollster::block_on(device::open(choice)) {
            Ok(device) => device,
            Err(error) => {
                println!("{error}");
                continue;
            }
        };
        let mut file = BufReader::new(File::open(&path).unwrap());
        let session = Session::load(&mut file, &device, &mut |_, _| {}).unwrap();
        let mut one = None;
        for rows in ROWS {
            // The first run compiles kernels; only the second counts.
            run(&session, rows);
            let (prefill, step) = run(&session, rows);
            let ratio = step / *one.get_or_insert(step);
            println!(
                "{:<40} {rows:>5} {prefill:>12.1} {step:>12.1} {ratio:>14.2}",
                device.info.name
            );
        }
    }
}

/// Milliseconds of one prefill and of one decode step (the median of several).
fn run(session: &Session, rows: usize) -> (f64, f64) {
    let prompts: Vec<Vec<u32>> = (0..rows)
        .map(|row| (0..PROMPT).map(|i| (100 + 7 * i + row) as u32).collect())
        .collect();
    let started = Instant::now();
    let (logits, mut cache) = prefill(session, &prompts);
    wait(session, logits);
    let prefill = started.elapsed().as_secs_f64() * 1e3;
    let mut steps: Vec<f64> = (0..STEPS)
        .map(|step| {
            let started = Instant::now();
            let tokens = vec![200 + step as u32; rows];
            wait(
                session,
                session.decoder().step(&tokens, &mut cache).unwrap(),
            );
            started.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    steps.sort_by(f64::total_cmp);
    (prefill, steps[STEPS / 2])
}

fn prefill(session: &Session, prompts: &[Vec<u32>]) -> (Logits, KvCache) {
    let prefill = session
        .decoder()
        .prefill(prompts, STEPS, session.kv)
        .unwrap();
    prefill.finish().unwrap()
}

fn wait(session: &Session, Logits(logits): Logits) {
    let device = session.device();
    assert!(!pollster::block_on(read(logits, device)).unwrap().is_empty());
}
