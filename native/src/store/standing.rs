//! What the store has of the models that are known by name, and what a name may have meant.

use super::{
    HubId, ModelSpec, State, Store, StoreError,
    files::{file_bytes, is_there, remove_folder},
    hub_folder::read_record,
    hub_id::safe,
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// What there is of a known model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Its file, or the beginning of it.
    pub path: PathBuf,
    /// The file's size in bytes.
    pub bytes: u64,
    /// Whether it is whole.
    pub state: State,
    /// The SHA-256 that it was pulled by: the catalogue's, or the one that the hub told.
    pub sha256: Option<String>,
}

/// Names that a typing error may have been meant for: at most so many.
const MOST_NEAR: usize = 3;

impl Store {
    /// The known model of that name.
    #[must_use]
    pub fn spec(&self, name: &str) -> Option<&'static ModelSpec> {
        self.known.iter().find(|spec| spec.is_called(name))
    }

    /// The known model whose place a file of that name in the store's own folder has.
    pub(super) fn spec_of_file(&self, file: &str) -> Option<&'static ModelSpec> {
        let is_its = |spec: &&ModelSpec| spec.sha256.is_some() && spec.file == file;
        self.known.iter().find(is_its)
    }

    /// What there is of a known model, if anything is.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn standing(&self, spec: &ModelSpec) -> Result<Option<Standing>, StoreError> {
        let standing = |path: PathBuf, bytes, state, sha256: Option<&str>| {
            Ok(Some(Standing {
                path,
                bytes,
                state,
                sha256: sha256.map(str::to_owned),
            }))
        };
        let (file, part) = (self.root.join(spec.file), self.part(spec.file));
        if spec.sha256.is_some()
            && let Some(bytes) = file_bytes(&file)?
        {
            let state = match bytes == spec.bytes {
                true => State::Complete,
                false => State::WrongSize,
            };
            return standing(file, bytes, state, spec.sha256);
        }
        let mut begun = None;
        for id in spec.hub_ids() {
            let folder = self.hub_folder(&id)?;
            let path = folder.join(spec.file);
            let listing = read_record(&folder)?.filter(|listing| listing.is_of(&id));
            let told = listing.as_ref().and_then(|listing| listing.file(spec.file));
            let told = told.and_then(|file| file.sha256.as_deref());
            if let Some(whole) = self.hub_there(&id)? {
                let bytes = file_bytes(&whole)?.unwrap_or_default();
                return standing(whole, bytes, State::Complete, told);
            }
            let part = path.with_added_extension("part");
            if let Some(bytes) = file_bytes(&part)? {
                begun = begun.or(Some((part, bytes)));
            }
        }
        match (file_bytes(&part)?.map(|bytes| (part, bytes)), begun) {
            (Some((path, bytes)), _) | (None, Some((path, bytes))) => {
                standing(path, bytes, State::Partial, None)
            }
            (None, None) => Ok(None),
        }
    }

    /// The model's file, if it is there whole: in the store's own folder with the right size, or in the hub's folder.
    pub(super) fn whole(&self, spec: &ModelSpec) -> Result<Option<PathBuf>, StoreError> {
        match self.standing(spec)? {
            Some(here) if here.state == State::Complete => Ok(Some(here.path)),
            Some(here) if here.state == State::WrongSize => Err(StoreError::WrongSize {
                name: spec.name.to_owned(),
                path: here.path,
                have: here.bytes,
                want: spec.bytes,
            }),
            _ => Ok(None),
        }
    }

    /// Where the file of that id lies; nowhere, too, where the repository that was pulled has no such file.
    fn hub_there(&self, id: &HubId) -> Result<Option<PathBuf>, StoreError> {
        match self.hub_path(id) {
            Err(StoreError::HubChoice { .. } | StoreError::HubNoModel(_)) => Ok(None),
            found => found,
        }
    }

    /// Removes the one file that an id names, whole or in part, and the repository's folder where nothing else of it is
    /// there; returns the bytes freed, if there was either.
    pub(super) fn remove_hub_file(&self, id: &HubId) -> Result<Option<u64>, StoreError> {
        let folder = self.hub_folder(id)?;
        let Some(listing) = read_record(&folder)?.filter(|listing| listing.is_of(id)) else {
            return Ok(None);
        };
        let places = |path: &str| {
            let path = folder.join(path);
            [path.with_added_extension("part"), path]
        };
        let own = listing.choose(id).unwrap_or_default();
        let own = own.iter().flat_map(|file| places(&file.path));
        let own: Vec<PathBuf> = own.filter(|path| is_there(path)).collect();
        let is_others = |path: &PathBuf| is_there(path) && !own.contains(path);
        let mut all = listing.files.iter().filter(|file| safe(&file.path));
        let has_others = all.any(|file| places(&file.path).iter().any(is_others));
        if own.is_empty() && has_others {
            return Ok(None);
        }
        let _lock = self
            .lock(&id.folder(), &mut |_| false)?
            .ok_or_else(|| StoreError::Busy(id.to_string()))?;
        let mut freed = 0;
        for path in own {
            freed += remove_file(&path)?;
        }
        if !has_others {
            remove_folder(&folder)?;
        }
        Ok(Some(freed))
    }

    /// The known names that `name` may have been meant for, the nearest first: those of its family where it names one, and
    /// those that a letter or two make of it.
    pub(super) fn near(&self, name: &str) -> Vec<String> {
        let wanted = name.to_ascii_lowercase();
        let length = wanted.chars().count();
        let most = (length / 4).max(1);
        let distance = |known: &str| {
            let known = known.to_ascii_lowercase();
            let is_family = known.split(':').next() == Some(&wanted);
            match is_family {
                true => 0,
                false => strsim::damerau_levenshtein(&wanted, &known),
            }
        };
        let mut near: Vec<(usize, &str)> = (self.known.iter())
            .filter_map(|spec| Some((spec.names().map(distance).min()?, spec.name)))
            .filter(|(distance, _)| *distance <= most && *distance < length)
            .collect();
        near.sort_by_key(|(distance, _)| *distance);
        near.truncate(MOST_NEAR);
        near.into_iter().map(|(_, name)| name.to_owned()).collect()
    }

    /// No known name.
    pub(super) fn unknown(&self, name: &str) -> StoreError {
        StoreError::UnknownModel {
            name: name.to_owned(),
            near: self.near(name),
            known: self.known.iter().map(|spec| spec.name.to_owned()).collect(),
        }
    }
}

/// Removes a file, or a link as the link it is; returns its size.
pub(super) fn remove_file(path: &Path) -> Result<u64, StoreError> {
    let bytes = fs::symlink_metadata(path).map_or(0, |meta| meta.len());
    fs::remove_file(path).map_err(StoreError::io("remove", path))?;
    Ok(bytes)
}
