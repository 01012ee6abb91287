//! Ctrl-C while an answer is written: it ends the answer, and not the program.

use crate::output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
        let wait = async move {
            while tokio::signal::ctrl_c().await.is_ok() {
                pressed.store(true, Ordering::Relaxed);
            }
        };
        // Without the thread, Ctrl-C ends the program.
        let _ = std::thread::Builder::new()
            .name("interrupts".to_owned())
            .spawn(move || runtime.block_on(wait));
    }

    /// Forgets what was pressed before.
    pub fn begin(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    pub fn came(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
