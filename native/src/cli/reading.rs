//! A bar while a long prompt is read.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use periapt_core::model::OnReading;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// Tokens that take no time worth a bar.
const SHORT: usize = 256;

/// All bars on standard error, so that none draws over another. Nothing is drawn where that is no terminal.
pub static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Shows how far prompts are read, for [`periapt_core::Session::on_reading`].
pub fn bar() -> OnReading {
    let bar: Mutex<Option<ProgressBar>> = Mutex::new(None);
    Arc::new(move |done, total| {
        let mut bar = bar.lock().unwrap_or_else(PoisonError::into_inner);
        if done >= total {
            if let Some(bar) = bar.take() {
                bar.finish_and_clear();
                BARS.remove(&bar);
            }
            return;
        }
        if total <= SHORT {
            return;
        }
        let bar = bar.get_or_insert_with(|| {
            let style =
                ProgressStyle::with_template("reading {bar:32} {pos} of {len} tokens ({eta})");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            BARS.add(ProgressBar::new(0).with_style(style))
        });
        bar.set_length(total as u64);
        bar.set_position(done as u64);
        bar.tick();
    })
}
