//! A file that is gone when the program ends, however it ends, unless it got its name. Its owner holds a lock on it: one
//! that nobody holds was left by a process that was killed, and goes when the next one writes to its folder.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once, PoisonError};

/// A file's name here is `.periapt-PROCESS-NUMBER.tmp`.
const BEGIN: &str = ".periapt-";
const END: &str = ".tmp";

/// What this process has under way.
static UNDER_WAY: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Whether Ctrl-C is somebody else's, and doesn't end the program.
static LEFT: AtomicBool = AtomicBool::new(false);

/// Leaves Ctrl-C to who asks for this: from now on it doesn't end the program here.
pub fn leave_interrupts() {
    LEFT.store(true, Ordering::Relaxed);
}

/// Removes its file when it is dropped.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Creates a file in `folder` that nobody else has, after removing what others left there.
    ///
    /// # Errors
    ///
    /// Where the folder can't be written.
    pub(super) fn create(folder: &Path) -> io::Result<(Self, File)> {
        const MOST: usize = 1000;
        sweep(folder);
        for number in 0..MOST {
            let name = format!("{BEGIN}{}-{number}{END}", std::process::id());
            let path = folder.join(name);
            let mut options = OpenOptions::new();
            match options.read(true).write(true).create_new(true).open(&path) {
                Ok(file) => {
                    let scratch = Self::adopt(path);
                    // Another process may have swept it before the lock was there.
                    if file.try_lock().is_ok() && is_at(&file, &scratch.0) {
                        return Ok((scratch, file));
                    }
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("too many temporary files in the folder"))
    }

    /// Takes over a file that this process just created.
    #[must_use]
    pub fn adopt(path: PathBuf) -> Self {
        // Signals come to a thread of ours, whatever folder the process is in by then.
        let path = std::path::absolute(&path).unwrap_or(path);
        under_way(|all| all.push(path.clone()));
        static WATCH: Once = Once::new();
        WATCH.call_once(watch);
        Self(path)
    }

    /// Gives the file its name, for good.
    pub(super) fn settle(self, to: &Path) -> io::Result<()> {
        fs::rename(&self.0, to)?;
        let folder = super::folder_of(to);
        // The name is on disk with the folder; where folders can't be synced there is no more to do.
        if let Ok(folder) = File::open(folder) {
            let _ = folder.sync_all();
        }
        self.keep();
        Ok(())
    }

    /// Lets the file stay where it is.
    pub fn keep(self) {
        self.forget();
        std::mem::forget(self);
    }

    fn forget(&self) {
        under_way(|all| all.retain(|path| *path != self.0));
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // There is nothing to do about a failure; the next one to write here tries again.
        let _ = fs::remove_file(&self.0);
        self.forget();
    }
}

fn under_way<T>(change: impl FnOnce(&mut Vec<PathBuf>) -> T) -> T {
    change(&mut UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Removes what killed processes left in a folder.
fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_ours = name.starts_with(BEGIN) && name.ends_with(END);
        if !is_ours || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        if let Ok(file) = File::open(entry.path())
            && file.try_lock().is_ok()
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}

/// Waits for the signals that end the program, removes what is under way, and lets them do their work. One that is
/// ignored, as under `nohup`, stays so.
#[cfg(unix)]
fn watch() {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
    let ignored = ignored();
    // The last one ends nothing: with somebody waiting for it, a file that may not grow is an error of writing.
    let wanted = [SIGHUP, SIGINT, SIGTERM, SIGXFSZ];
    let wanted = wanted
        .into_iter()
        .filter(|signal| ignored >> (signal - 1) & 1 == 0);
    let Ok(mut signals) = signal_hook::iterator::Signals::new(wanted) else {
        return;
    };
    let wait = move || {
        let ends = |signal: &i32| match *signal {
            SIGXFSZ => false,
            SIGINT => !LEFT.load(Ordering::Relaxed),
            _ => true,
        };
        for signal in signals.forever().filter(ends) {
            under_way(|all| {
                for path in all {
                    let _ = fs::remove_file(path);
                }
            });
            let _ = signal_hook::low_level::emulate_default_handler(signal);
        }
    };
    // Without the thread, the next one to write here removes what is left.
    let _ = std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(wait);
}

#[cfg(not(unix))]
fn watch() {}

/// The signals that this process ignores, a bit each, where the system says so (Linux).
#[cfg(unix)]
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use temp_dir::TempDir;

    #[test]
    fn what_nobody_holds_is_swept_and_nothing_else() {
        let folder = TempDir::new().unwrap();
        let (held, _file) = Scratch::create(folder.path()).unwrap();
        for name in [
            ".periapt-1-0.tmp",
            ".periapt-mine",
            "periapt-1-0.tmp",
            ".x.tmp",
        ] {
            fs::write(folder.child(name), "x").unwrap();
        }
        fs::create_dir(folder.child(".periapt-2-0.tmp")).unwrap();
        let (other, _file) = Scratch::create(folder.path()).unwrap();
        assert!(!folder.child(".periapt-1-0.tmp").exists());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 6);
        assert_ne!(held.0, other.0);
        drop((held, other));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4);
    }
}
