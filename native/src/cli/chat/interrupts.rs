//! Ctrl-C while an answer is written: it ends the answer, and not the program.

use crate::output;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::task::Poll;

/// Whether Ctrl-C was pressed.
#[derive(Clone, Default)]
pub struct Interrupts(Arc<AtomicBool>);

impl Interrupts {
    /// From now on Ctrl-C is told here, and does nothing else.
    pub fn watch(&self) {
        let pressed = Arc::clone(&self.0);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let Ok(runtime) = runtime else {
            return;
        };
        output::leave_interrupts();
        let (tell, ready) = mpsc::channel();
        let wait = async move {
            // The system is asked at the first poll.
            let mut next = pin!(tokio::signal::ctrl_c());
            let begun = poll_fn(|context| Poll::Ready(next.as_mut().poll(context))).await;
            let _ = tell.send(());
            let mut came = match begun {
                Poll::Ready(came) => came,
                Poll::Pending => next.await,
            };
            while came.is_ok() {
                pressed.store(true, Ordering::Relaxed);
                came = tokio::signal::ctrl_c().await;
            }
        };
        // Without the thread, Ctrl-C ends the program.
        let thread = std::thread::Builder::new().name("interrupts".to_owned());
        if thread.spawn(move || runtime.block_on(wait)).is_ok() {
            // The editor restores what it finds: this has to be there before.
            let _ = ready.recv();
        }
    }

    /// Forgets what was pressed before.
    pub fn begin(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    pub fn came(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
