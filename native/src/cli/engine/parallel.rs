//! Several requests at once.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;

/// Does `work` for each of `items`, `at_once` of them together; `heard` hears of each when it is done, with its place. The first
/// error, or a hearing that breaks off, ends it: what is under way by then is waited for.
pub fn each<T: Sync, R: Send, E: Send>(
    at_once: usize,
    items: &[T],
    work: impl Fn(&T) -> Result<R, E> + Sync,
    mut heard: impl FnMut(usize, R) -> ControlFlow<()>,
) -> Result<(), E> {
    let (next, work) = (&AtomicUsize::new(0), &work);
    let (tell, told) = channel();
    thread::scope(|scope| {
        for _ in 0..at_once.min(items.len()) {
            let tell = tell.clone();
            scope.spawn(move || {
                while let Some((place, item)) = next_of(next, items) {
                    if tell.send((place, work(item))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(tell);
        for (place, result) in told {
            if heard(place, result?).is_break() {
                break;
            }
        }
        Ok(())
    })
}

/// The same of all, in their order.
pub fn all<T: Sync, R: Send, E: Send>(
    at_once: usize,
    items: &[T],
    work: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let mut results = BTreeMap::new();
    each(at_once, items, work, |place, result| {
        results.insert(place, result);
        ControlFlow::Continue(())
    })?;
    Ok(results.into_values().collect())
}

fn next_of<'a, T>(next: &AtomicUsize, items: &'a [T]) -> Option<(usize, &'a T)> {
    let place = next.fetch_add(1, Ordering::Relaxed);
    Some((place, items.get(place)?))
}
