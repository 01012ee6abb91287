//! Programs that end with this one: where SIGTERM ends us, they end first. (Ctrl-C reaches them by itself.)

use std::{
    io,
    process::{Child, Command, ExitStatus},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// All that run.
static RUNNING: Mutex<Vec<Arc<Mutex<Child>>>> = Mutex::new(Vec::new());

/// One of them; when it is dropped, it has ended.
pub(super) struct Children(Arc<Mutex<Child>>);

impl Children {
    /// Starts a program.
    pub(super) fn spawn(command: &mut Command) -> io::Result<Self> {
        watch();
        // Held meanwhile, so that no signal comes between the start and the list.
        let mut running = own(&RUNNING);
        let child = Arc::new(Mutex::new(command.spawn()?));
        running.push(Arc::clone(&child));
        Ok(Self(child))
    }

    /// Its status, once it has ended.
    pub(super) fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        own(&self.0).try_wait()
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        own(&RUNNING).retain(|child| !Arc::ptr_eq(child, &self.0));
        end(&self.0);
    }
}

/// Ends a program, if it has not ended, and waits for that.
fn end(child: &Mutex<Child>) {
    let mut child = own(child);
    // It may have ended by itself; then there is nothing to do.
    let _ = child.kill();
    let _ = child.wait();
}

fn own<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From the first program on, SIGTERM ends all of them, and then this one, as it would have by itself.
#[cfg(unix)]
fn watch() {
    use std::{process, sync::Once, thread};
    use tokio::signal::unix::{SignalKind, signal};

    static STARTED: Once = Once::new();
    const TERMINATED: i32 = 128 + 15;

    STARTED.call_once(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build();
        let Ok(runtime) = runtime else {
            return;
        };
        let within = runtime.enter();
        let Ok(mut terminate) = signal(SignalKind::terminate()) else {
            return;
        };
        drop(within);
        thread::spawn(move || {
            runtime.block_on(terminate.recv());
            let running = own(&RUNNING);
            running.iter().for_each(|child| end(child));
            process::exit(TERMINATED);
        });
    });
}

#[cfg(not(unix))]
fn watch() {}
