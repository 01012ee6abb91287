//! A repository's folder in the store: the record of what it holds, and what of that is there.

use super::{
    HubId, Store, StoreError,
    files::{file_bytes, write_whole},
    hub_id::{HubFile, Listing, safe},
};
use periapt_core::formats::{
    gguf::Split,
    hub::{INDEX, WEIGHTS},
    safetensors::Index,
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The listing that a pull began with: it says what is whole, and keeps a pull that goes on at the same commit.
const RECORD: &str = ".listing.json";

/// A listing, or an index, is no larger.
pub(super) const MOST: u64 = 64 << 20;

/// A GGUF file in a repository's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubGguf {
    /// The folder's name and the file's path in it, with `/` between them.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its SHA-256, where the hub has told it and the file is a whole model.
    pub sha256: Option<String>,
}

impl Store {
    /// Where the model `id` lies, if all of it is there: its folder, or its (first) GGUF file. Nobody is asked.
    ///
    /// # Errors
    /// [`StoreError::Io`], and what a listing that is there says of the id.
    pub fn hub_path(&self, id: &HubId) -> Result<Option<PathBuf>, StoreError> {
        let folder = self.hub_folder(id)?;
        let Some(listing) = read_record(&folder)?.filter(|listing| listing.is_of(id)) else {
            return Ok(None);
        };
        let files = listing.choose(id)?;
        let Some(files) = with_shards(&listing, &folder, files)? else {
            return Ok(None);
        };
        Ok(are_there(&folder, &files)?.then(|| place(&folder, &files)))
    }

    /// The folder of the model `id`: the one of its name, or the one that had its files before names were injective.
    pub(super) fn hub_folder(&self, id: &HubId) -> Result<PathBuf, StoreError> {
        let folder = self.root.join(id.folder());
        let old = self.root.join(id.old_folder());
        let is_old = old != folder
            && !folder.is_dir()
            && read_record(&old)?.is_some_and(|listing| listing.is_of(id));
        Ok(if is_old { old } else { folder })
    }

    /// The id of the repository in the folder `path` of the store, if it is one's.
    pub(super) fn hub_id(path: &Path, name: &str) -> Result<Option<HubId>, StoreError> {
        let Some(by_name) = HubId::of_folder(name).filter(|_| path.is_dir()) else {
            return Ok(None);
        };
        let listing = read_record(path)?;
        Ok(Some(
            listing.and_then(|listing| listing.id()).unwrap_or(by_name),
        ))
    }

    /// Whether a pull into `folder` is under way no more: no file of it is a part, a model's weights are there, and of each
    /// model whose weights are there in part all are.
    pub(super) fn hub_whole(&self, folder: &Path) -> Result<bool, StoreError> {
        let Some(listing) = read_record(folder)? else {
            return Ok(false);
        };
        let mut wanted = Vec::new();
        for file in listing.files.iter().filter(|file| safe(&file.path)) {
            let part = folder.join(&file.path).with_added_extension("part");
            if file_bytes(&part)?.is_some() {
                return Ok(false);
            }
            if !are_there(folder, std::slice::from_ref(file))? {
                continue;
            }
            match file.path.as_str() {
                WEIGHTS => wanted.push(file.clone()),
                INDEX => match with_shards(&listing, folder, vec![file.clone()])? {
                    Some(files) => wanted.extend(files),
                    None => return Ok(false),
                },
                path if path.ends_with(".gguf") => wanted.extend(listing.parts_of(path)),
                _ => {}
            }
        }
        Ok(!wanted.is_empty() && are_there(folder, &wanted)?)
    }

    /// The GGUF files of whole models in a folder of the store, by [`super::Entry::path`].
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn hub_ggufs(&self, folder: &Path) -> Result<Vec<HubGguf>, StoreError> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let mut found = Vec::new();
        let listing = read_record(folder)?;
        for file in listing.iter().flat_map(|listing| &listing.files) {
            let parts = || {
                listing
                    .as_ref()
                    .map_or(Vec::new(), |l| l.parts_of(&file.path))
            };
            let is_model = file.path.ends_with(".gguf") && safe(&file.path);
            if is_model && are_there(folder, &parts())? {
                let is_alone = Split::stem(&file.path).len() + ".gguf".len() == file.path.len();
                found.push(HubGguf {
                    name: format!("{name}/{}", file.path),
                    path: folder.join(&file.path),
                    bytes: file.bytes,
                    sha256: file.sha256.clone().filter(|_| is_alone),
                });
            }
        }
        Ok(found)
    }
}

/// Adds the shards that an index names, which must be there to be read; `None` where it isn't.
pub(super) fn with_shards(
    listing: &Listing,
    folder: &Path,
    mut files: Vec<HubFile>,
) -> Result<Option<Vec<HubFile>>, StoreError> {
    let Some(index) = files.iter().find(|file| file.path == INDEX) else {
        return Ok(Some(files));
    };
    let path = folder.join(INDEX);
    if file_bytes(&path)? != Some(index.bytes) || index.bytes > MOST {
        return Ok(None);
    }
    let failed = |why: String| StoreError::HubFailed {
        id: format!("{}@{}", listing.repo, listing.revision),
        why: format!("{INDEX}: {why}"),
    };
    let text = fs::read(&path).map_err(StoreError::io("read", &path))?;
    let index = Index::parse(&text).map_err(|e| failed(e.to_string()))?;
    for (name, _) in index.shards() {
        let shard = listing.file(name).filter(|_| safe(name));
        let shard = shard
            .ok_or_else(|| failed(format!("it names {name:?}, which the repository lacks")))?;
        files.push(shard.clone());
    }
    Ok(Some(files))
}

/// Whether all of these are there, as long as they should be.
pub(super) fn are_there(folder: &Path, files: &[HubFile]) -> Result<bool, StoreError> {
    for file in files {
        if file_bytes(&folder.join(&file.path))? != Some(file.bytes) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What a model is loaded from.
pub(super) fn place(folder: &Path, files: &[HubFile]) -> PathBuf {
    match files.first() {
        Some(first) if first.path.ends_with(".gguf") => folder.join(&first.path),
        _ => folder.to_owned(),
    }
}

/// The folder's record, where there is one. A damaged one is none: the hub is asked again.
pub(super) fn read_record(folder: &Path) -> Result<Option<Listing>, StoreError> {
    let path = folder.join(RECORD);
    // A pipe would never end.
    if file_bytes(&path)?.is_none_or(|bytes| bytes > MOST) {
        return Ok(None);
    }
    let text = fs::read(&path).map_err(StoreError::io("read", path))?;
    Ok(serde_json::from_slice(&text).ok())
}

/// Writes the record, whole or not at all.
pub(super) fn write_record(folder: &Path, listing: &Listing) -> Result<(), StoreError> {
    let path = folder.join(RECORD);
    let text = serde_json::to_vec_pretty(listing).map_err(std::io::Error::from);
    write_whole(&path, &text.map_err(StoreError::io("write", &path))?)
}
