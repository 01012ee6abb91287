//! Counts and times of this thread's dispatches.

use burn::backend::DispatchDevice;
use burn::cubecl::MemoryScope;
use burn::cubecl::client::Client;
use burn::cubecl::profile::ProfileDuration;
use burn::tensor::Device;
use std::cell::{Cell, RefCell};
use std::time::Duration;

thread_local! {
    static DISPATCHES: Cell<u64> = const { Cell::new(0) };
    static PROFILE: RefCell<Option<Vec<(String, ProfileDuration)>>> = const { RefCell::new(None) };
}

/// True while a profile is being taken.
pub fn profiling() -> bool {
    PROFILE.with_borrow(Option::is_some)
}

/// Counts one dispatch, and times it under `name` where there is one.
pub fn dispatch(client: &Client, name: Option<String>, launch: impl FnOnce()) {
    DISPATCHES.set(DISPATCHES.get() + 1);
    let window = name.and_then(|name| Some((name, client.profile_start().ok()?)));
    launch();
    if let Some((name, window)) = window
        && let Ok(duration) = client.profile_end(window)
    {
        PROFILE.with_borrow_mut(|profile| {
            profile.get_or_insert_default().push((name, duration));
        });
    }
}

pub fn dispatches() -> u64 {
    DISPATCHES.get()
}

pub async fn profile(work: impl FnOnce()) -> Vec<(String, Duration)> {
    PROFILE.set(Some(Vec::new()));
    work();
    let taken = PROFILE.take().unwrap_or_default();
    let mut times = Vec::with_capacity(taken.len());
    for (name, duration) in taken {
        if let Some(ticks) = duration.resolve().await {
            times.push((name, ticks.duration()));
        }
    }
    times
}

pub fn device_memory(device: &Device) -> Option<u64> {
    let DispatchDevice::Cube(device) = device.as_dispatch() else {
        return None;
    };
    let report = device.client().memory_report(MemoryScope::Device);
    Some(report.usage().bytes_reserved)
}
