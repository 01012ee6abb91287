//! The model store: the folder where pulled model files lie, under names. It lists, pulls, verifies and removes them,
//! and says what `--model` means. It may touch files below its own root and nothing else (a path given to
//! `--model` is only looked at), may reach the network and start pip only inside [`Store::pull`], prints nothing
//! (progress goes to a callback), and knows nothing of what is inside a model file.
//!
//! A known model whose bytes are known is `FILE`, wherever it came from; one for which the hub's own hash decides lies where
//! any model from the hub does: a folder, `OWNER--NAME@REVISION` (with `%2F` for a revision's `/`), with `.listing.json`, what
//! the repository held, at which commit, when it was first asked for. All else is flat: `FILE` is a whole model, `FILE.part`
//! the beginning of one, `.FILE.lock` what makes two pulls at once cooperate, `.FILE.tmp` the scratch folder of a running pull. A file takes its final name only after its
//! whole content was hashed and written to disk.
//!
//! Reading order: [`Catalogue`] (what is known), [`Store`] (what can be done), `hub` and `pip` (the two kinds of source).

mod address;
mod catalogue;
mod children;
mod error;
mod files;
mod hub;
mod hub_check;
mod hub_folder;
mod hub_id;
mod hub_pull;
mod pip;
mod progress;
mod proxy;
mod pull;
mod reach;
mod remote;
mod standing;

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

pub(crate) use address::{is_loopback, shown, without_login};
use etcetera::BaseStrategy;
use files::{check_name, file_bytes, is_there, remove_folder};
pub(crate) use files::{hash, hash_of_files};
pub(crate) use proxy::from_env as proxy_for;
pub(crate) use reach::retry_after;
use standing::remove_file;

pub use catalogue::{Catalogue, ModelSpec, Recommended, Source, Wheel, catalogue};
pub use error::StoreError;
pub use hub_folder::HubGguf;
pub use hub_id::HubId;
pub use progress::{Callback, Phase, Progress};
pub use remote::Remote;
pub use standing::Standing;

/// A folder of model files.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    remote: Remote,
    known: &'static [ModelSpec],
}

/// One file of the store.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The known model's name, or the file's name for a file that somebody put there.
    pub name: String,
    /// The file; for [`State::Partial`] the part.
    pub path: PathBuf,
    /// Its size in bytes: for [`State::Partial`] what has come so far.
    pub bytes: u64,
    /// Whether it is whole.
    pub state: State,
    /// The known model that it is (its size, hash and licence), if it is one.
    pub spec: Option<&'static ModelSpec>,
}

/// Whether a file of the store is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// All there; of a known model the size is right.
    Complete,
    /// The beginning of a file: the next pull goes on from there.
    Partial,
    /// A known model's file that has another size than the model.
    WrongSize,
    /// Something that cannot be looked at: a link that leads nowhere or in a circle, a folder without access.
    Unreadable,
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The file, or a model's folder.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its SHA-256, 64 lower-case hexadecimal digits; of several files that of the list of theirs.
    pub sha256: String,
    /// Whether all hashes were compared.
    pub known: bool,
    /// The files whose right hash nobody knows, by name.
    pub unknown: Vec<String>,
}

/// What the text after `--model` means.
#[derive(Debug, Clone, PartialEq)]
pub enum Resolved {
    /// This file, or this hub folder of a model, which exists.
    File(PathBuf),
    /// This known model: [`Store::pull`] gives its path, at once where it is there already.
    Known(&'static ModelSpec),
    /// A model on the hub: [`Store::pull_hub`] gives its path, at once where it is there already.
    Hub(HubId),
}

/// What the text after `--model` means in the user's store; nothing means [`Catalogue::default_model`].
///
/// # Errors
/// As [`Store::open`] and [`Store::resolve`].
pub fn resolve(model: Option<&str>) -> Result<Resolved, StoreError> {
    match model {
        Some(model) => Store::open()?.resolve(model),
        None => Ok(Resolved::Known(catalogue().default_model())),
    }
}

/// The known model that `--model` names, or whose file it is: by name and size.
///
/// # Errors
/// As [`resolve`].
pub fn known(model: Option<&str>) -> Result<Option<&'static ModelSpec>, StoreError> {
    let path = match resolve(model)? {
        Resolved::Known(spec) => return Ok(Some(spec)),
        Resolved::Hub(_) => return Ok(None),
        Resolved::File(path) => path,
    };
    let bytes = fs::metadata(&path).map_or(0, |about| about.len());
    let is_its = |spec: &&ModelSpec| {
        spec.bytes == bytes && path.file_name().is_some_and(|name| name == spec.file)
    };
    Ok(catalogue().models.iter().find(is_its))
}

impl Store {
    /// The user's store: `PERIAPT_MODELS` where set, else `periapt/models` in the user's cache folder
    /// (`XDG_CACHE_HOME` where set, `~/.cache` on Unix). Nothing is created yet.
    ///
    /// # Errors
    /// [`StoreError::NoCacheDir`] where no home folder is known.
    pub fn open() -> Result<Self, StoreError> {
        let root = match std::env::var_os("PERIAPT_MODELS").filter(|dir| !dir.is_empty()) {
            Some(dir) => PathBuf::from(dir),
            None => etcetera::choose_base_strategy()
                .map_err(|_| StoreError::NoCacheDir)?
                .cache_dir()
                .join("periapt")
                .join("models"),
        };
        Self::at(root, Remote::from_env(), &catalogue().models)
    }

    /// A store in the folder `root` that reaches its sources through `remote` and knows the models `known`.
    ///
    /// # Errors
    /// [`StoreError::Io`] where the present folder, to which a relative `root` is taken, is unknown.
    pub fn at(
        root: impl Into<PathBuf>,
        remote: Remote,
        known: &'static [ModelSpec],
    ) -> Result<Self, StoreError> {
        let root = root.into();
        let root = std::path::absolute(&root).map_err(StoreError::io("find", root))?;
        Ok(Self {
            root,
            remote,
            known,
        })
    }

    /// The store's folder, absolute; it may not exist yet.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The models that can be pulled by name.
    #[must_use]
    pub fn known(&self) -> &'static [ModelSpec] {
        self.known
    }

    /// What lies in the store, sorted by name; empty where the folder does not exist.
    ///
    /// # Errors
    /// [`StoreError::Io`] where the folder cannot be read.
    pub fn list(&self) -> Result<Vec<Entry>, StoreError> {
        let dir = match fs::read_dir(&self.root) {
            Ok(dir) => dir,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => {
                return Err(StoreError::Unreadable {
                    root: self.root.clone(),
                    source,
                });
            }
        };
        let mut entries = Vec::new();
        for item in dir {
            let path = item.map_err(StoreError::io("read", &self.root))?.path();
            let Some(file_name) = path.file_name().and_then(OsStr::to_str) else {
                continue;
            };
            // What is wrong with one hides no other.
            let entry = self.entry(&path, file_name);
            entries.extend(entry.unwrap_or_else(|_| {
                let spec = self.spec_of_file(file_name);
                let id = HubId::of_folder(file_name).map(|id| id.to_string());
                let name = spec.map_or(file_name, |spec| spec.name);
                Some(Entry {
                    name: id.unwrap_or_else(|| name.to_owned()),
                    path: path.clone(),
                    bytes: 0,
                    state: State::Unreadable,
                    spec,
                })
            }));
        }
        entries.sort_by(|a, b| (&a.name, &a.path).cmp(&(&b.name, &b.path)));
        Ok(entries)
    }

    /// What `path` in the store's folder is, if it is one of its own.
    fn entry(&self, path: &Path, file_name: &str) -> Result<Option<Entry>, StoreError> {
        if let Some(id) = Self::hub_id(path, file_name)? {
            return Ok(Some(Entry {
                name: id.to_string(),
                path: path.to_owned(),
                bytes: pip::folder_bytes(path),
                state: match self.hub_whole(path)? {
                    true => State::Complete,
                    false => State::Partial,
                },
                spec: None,
            }));
        }
        let (file, partial) = match file_name.strip_suffix(".part") {
            Some(file) => (file, true),
            None => (file_name, false),
        };
        let spec = self.spec_of_file(file);
        if spec.is_none() && check_name(file).is_err() {
            return Ok(None);
        }
        let about = fs::metadata(path).map_err(StoreError::io("read", path))?;
        if !about.is_file() {
            return Ok(None);
        }
        let bytes = about.len();
        Ok(Some(Entry {
            name: spec.map_or(file, |spec| spec.name).to_owned(),
            path: path.to_owned(),
            bytes,
            state: match spec {
                _ if partial => State::Partial,
                Some(spec) if spec.bytes != bytes => State::WrongSize,
                _ => State::Complete,
            },
            spec,
        }))
    }

    /// The file of the model `name` (a known model's name, or a file name in the store), if the whole of it is there.
    ///
    /// # Errors
    /// [`StoreError::BadName`]; [`StoreError::WrongSize`] where a known model's file has not the model's size.
    pub fn path(&self, name: &str) -> Result<Option<PathBuf>, StoreError> {
        if let Some(spec) = self.spec(name) {
            return self.whole(spec);
        }
        if let Some(id) = HubId::parse(name) {
            return self.hub_path(&id);
        }
        let path = self.root.join(self.file(name)?);
        Ok(file_bytes(&path)?.map(|_| path))
    }

    /// Hashes the whole file of the model `name`, or all files of a model of the hub, and compares where the right hash
    /// is known.
    ///
    /// # Errors
    /// [`StoreError::HashMismatch`], [`StoreError::WrongSize`], [`StoreError::Partial`],
    /// [`StoreError::NotInStore`], [`StoreError::BadName`], [`StoreError::Io`].
    pub fn verify(&self, name: &str, progress: Callback<'_>) -> Result<Verified, StoreError> {
        let spec = self.spec(name);
        if let Some(id) = HubId::parse(name).filter(|_| spec.is_none()) {
            return self.verify_hub(&id, progress);
        }
        // Where there is no file of its own, the hub's may be there.
        let is_own =
            |spec: &ModelSpec| spec.sha256.is_some() && is_there(&self.root.join(spec.file));
        for id in spec
            .iter()
            .filter(|spec| !is_own(spec))
            .flat_map(|spec| spec.hub_ids())
        {
            match self.verify_hub(&id, progress) {
                Err(StoreError::NotInStore { .. }) => {}
                verified => return verified,
            }
        }
        let Some(path) = self.path(name)? else {
            let part = self.root.join(format!("{}.part", self.file(name)?));
            return Err(match (file_bytes(&part)?, spec) {
                (Some(have), Some(spec)) => StoreError::Partial {
                    name: name.to_owned(),
                    have,
                    want: spec.bytes,
                },
                _ => self.not_in_store(name),
            });
        };
        let (bytes, sha256) = hash(&path, progress)?;
        let want = spec.and_then(|spec| spec.sha256);
        match want {
            Some(want) if want != sha256 => Err(StoreError::HashMismatch {
                name: name.to_owned(),
                path,
                kind: "sha256",
                have: sha256,
                want: want.to_owned(),
            }),
            _ => Ok(Verified {
                path,
                bytes,
                sha256,
                known: want.is_some(),
                unknown: want.map_or_else(|| vec![name.to_owned()], |_| Vec::new()),
            }),
        }
    }

    /// Removes the model `name`, whole or in part; returns the bytes freed.
    ///
    /// # Errors
    /// [`StoreError::Busy`] while another process pulls it, [`StoreError::NotInStore`], [`StoreError::BadName`],
    /// [`StoreError::Io`].
    pub fn remove(&self, name: &str) -> Result<u64, StoreError> {
        if let Some(id) = HubId::parse(name) {
            return self.remove_hub(&id);
        }
        let file = self.file(name)?;
        let mut freed = None;
        for id in self.spec(name).iter().flat_map(|spec| spec.hub_ids()) {
            freed = self.remove_hub_file(&id)?.or(freed);
        }
        let (scratch, part) = (self.scratch(file), self.part(file));
        let whole = self.root.join(file);
        if ![&scratch, &part, &whole].iter().any(|path| is_there(path)) {
            return freed.ok_or_else(|| self.not_in_store(name));
        }
        let _lock = self
            .lock(file, &mut |_| false)?
            .ok_or_else(|| StoreError::Busy(name.to_owned()))?;
        let mut freed = freed.unwrap_or_default() + pip::folder_bytes(&scratch);
        remove_folder(&scratch)?;
        for path in [part, whole] {
            // A folder is not the store's.
            if fs::symlink_metadata(&path).is_ok_and(|meta| !meta.is_dir()) {
                freed += remove_file(&path)?;
            }
        }
        Ok(freed)
    }

    /// What the text after `--model` means: a known model's name, the path of a file, the name of a file in the store,
    /// or a model on the hub. A known name goes before a file of that name in the present folder (write `./NAME` for the file).
    ///
    /// # Errors
    /// [`StoreError::NoSuchFile`] where it looks like a path and nothing is there, [`StoreError::NotAFile`],
    /// [`StoreError::UnknownModel`] with the known names.
    pub fn resolve(&self, model: impl AsRef<Path>) -> Result<Resolved, StoreError> {
        let path = model.as_ref();
        let name = path.to_string_lossy();
        if let Some(spec) = self.spec(&name) {
            return Ok(Resolved::Known(spec));
        }
        // An adapter's folder is told what it lacks where it is read.
        let is_folder = ["config.json", "adapter_config.json"]
            .iter()
            .any(|name| path.join(name).is_file());
        if path.is_file() || is_folder {
            return Ok(Resolved::File(path.to_owned()));
        }
        if check_name(&name).is_ok()
            && let Some(path) = self.path(&name)?
        {
            return Ok(Resolved::File(path));
        }
        if path.exists() {
            return Err(StoreError::NotAFile(path.to_owned()));
        }
        if let Some(id) = HubId::parse(&name) {
            return Ok(Resolved::Hub(id));
        }
        if name.contains(['/', '\\']) || name.ends_with(".gguf") {
            return Err(StoreError::NoSuchFile(path.to_owned()));
        }
        Err(self.unknown(&name))
    }

    /// The file name that a model's name stands for.
    fn file<'a>(&self, name: &'a str) -> Result<&'a str, StoreError> {
        match self.spec(name) {
            Some(spec) => Ok(spec.file),
            None if check_name(name).is_err() && !self.near(name).is_empty() => {
                Err(self.unknown(name))
            }
            None => check_name(name).map(|()| name),
        }
    }

    fn part(&self, file: &str) -> PathBuf {
        self.root.join(format!("{file}.part"))
    }

    fn scratch(&self, file: &str) -> PathBuf {
        self.root.join(format!(".{file}.tmp"))
    }

    fn not_in_store(&self, name: &str) -> StoreError {
        StoreError::NotInStore {
            name: name.to_owned(),
            root: self.root.clone(),
        }
    }
}
