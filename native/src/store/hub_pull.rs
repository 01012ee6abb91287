//! A pull from the hub by id: what the repository holds at which commit, and its files one after the other.
//!
//! This is done with our own [`Remote`], which the default model's pull has anyway, and not with the crate `hf-hub`: that
//! keeps files in a cache of its own, and its version 1.0 needs tokio, reqwest and hf-xet.

use super::{
    Callback, HubId, Progress, Store, StoreError, Verified,
    error::Failed,
    files::{file_bytes, hash, hash_of_files, remove_folder, settle},
    hub,
    hub_id::{HubFile, INDEX, Listing, WEIGHTS, safe},
    pip,
};
use serde::Deserialize;
use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};
use ureq::http::StatusCode;

/// The listing that a pull began with: it says what is whole, and keeps a pull that goes on at the same commit.
const RECORD: &str = ".listing.json";

/// A listing, or an index, is no larger.
const MOST: u64 = 64 << 20;

/// What the hub's API says of a repository at a revision.
#[derive(Deserialize)]
struct Info {
    sha: Option<String>,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: Option<String>,
    size: Option<u64>,
}

#[derive(Deserialize)]
struct Index {
    weight_map: std::collections::BTreeMap<String, String>,
}

impl Store {
    /// Where the model `id` lies, if all of it is there: its folder, or its (first) GGUF file. Nobody is asked.
    ///
    /// # Errors
    /// [`StoreError::Io`], and what a listing that is there says of the id.
    pub fn hub_path(&self, id: &HubId) -> Result<Option<PathBuf>, StoreError> {
        let folder = self.root.join(id.folder());
        let Some(listing) = read_record(&folder)? else {
            return Ok(None);
        };
        let files = listing.choose(id)?;
        let Some(files) = with_shards(&listing, &folder, files)? else {
            return Ok(None);
        };
        Ok(are_there(&folder, &files)?.then(|| place(&folder, &files)))
    }

    /// Brings the model `id` into the store and returns where it lies: its folder of safetensors, or its (first) GGUF
    /// file. What is there already is not asked for again, even where the revision has moved on: remove the model to
    /// pull it anew. A pull that was cut goes on where it ended, at the commit it began with.
    ///
    /// # Errors
    /// [`StoreError::HubRefused`], [`StoreError::HubNotFound`], [`StoreError::HubFailed`], [`StoreError::HubChoice`],
    /// [`StoreError::HubNoModel`], [`StoreError::DiskFull`], [`StoreError::Io`].
    pub fn pull_hub(&self, id: &HubId, progress: Callback<'_>) -> Result<PathBuf, StoreError> {
        if let Some(path) = self.hub_path(id)? {
            return Ok(path);
        }
        fs::create_dir_all(&self.root).map_err(|source| self.unwritable(source))?;
        let name = id.folder();
        let _lock = self.lock(&name, &mut |name| {
            progress(Progress::Notice(&format!(
                "another process is pulling {name}: waiting for it"
            )));
            true
        })?;
        let folder = self.root.join(name);
        let listing = match read_record(&folder)? {
            Some(listing) => listing,
            None => self.ask(id)?,
        };
        let files = listing.choose(id)?;
        fs::create_dir_all(&folder).map_err(|source| self.unwritable(source))?;
        write_record(&folder, &listing)?;
        let total: u64 = files.iter().map(|file| file.bytes).sum();
        progress(Progress::Notice(&format!(
            "pulling {id} (commit {}, {:.1} MB{}) into {}",
            listing.commit,
            total as f64 / 1e6,
            if files.iter().any(|file| file.path == INDEX) {
                " and its shards"
            } else {
                ""
            },
            folder.display()
        )));
        for file in &files {
            self.bring(id, &listing, &folder, file, progress)?;
        }
        let files = with_shards(&listing, &folder, files)?.unwrap_or_default();
        for file in &files {
            self.bring(id, &listing, &folder, file, progress)?;
        }
        Ok(place(&folder, &files))
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

    /// Hashes all files of the model `id` and compares those whose hashes the hub has told.
    pub(super) fn verify_hub(
        &self,
        id: &HubId,
        progress: Callback<'_>,
    ) -> Result<Verified, StoreError> {
        let folder = self.root.join(id.folder());
        let listing = read_record(&folder)?.ok_or_else(|| self.not_in_store(&id.to_string()))?;
        let chosen = listing.choose(id)?;
        let all = with_shards(&listing, &folder, chosen.clone())?;
        let files = all.as_ref().unwrap_or(&chosen);
        let (mut have, mut want) = (0, 0);
        for file in files {
            have += file_bytes(&folder.join(&file.path))?.unwrap_or(0);
            want += file.bytes;
        }
        if all.is_none() || have != want {
            let name = id.to_string();
            return Err(StoreError::Partial { name, have, want });
        }
        let (mut known, mut hashes) = (false, Vec::new());
        for file in files {
            let path = folder.join(&file.path);
            let (_, have) = hash(&path, progress)?;
            if let Some(want) = &file.sha256 {
                known = true;
                if *want != have {
                    return Err(StoreError::HashMismatch {
                        name: id.to_string(),
                        path,
                        have,
                        want: want.clone(),
                    });
                }
            }
            hashes.push((file.path.clone(), have));
        }
        Ok(Verified {
            path: place(&folder, files),
            bytes: have,
            sha256: hash_of_files(hashes),
            known,
        })
    }

    /// Removes all that was pulled of the repository at the id's revision; returns the bytes freed.
    pub(super) fn remove_hub(&self, id: &HubId) -> Result<u64, StoreError> {
        let folder = self.root.join(id.folder());
        if !folder.is_dir() {
            return Err(self.not_in_store(&id.to_string()));
        }
        let _lock = self
            .lock(&id.folder(), &mut |_| false)?
            .ok_or_else(|| StoreError::Busy(id.to_string()))?;
        let freed = pip::folder_bytes(&folder);
        remove_folder(&folder)?;
        Ok(freed)
    }

    /// The repository's files at the revision.
    fn ask(&self, id: &HubId) -> Result<Listing, StoreError> {
        let failed = |why: String| StoreError::HubFailed {
            id: id.to_string(),
            why,
        };
        let url = format!(
            "{}/api/models/{}/revision/{}?blobs=true",
            self.remote.hub,
            id.repo,
            id.revision.replace('/', "%2F")
        );
        let response = self.remote.call(&self.remote.agent(), &url, &[]);
        let mut response = response.map_err(|e| failed(format!("{}: {e}", self.remote.hub)))?;
        match response.status() {
            StatusCode::OK => {}
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                return Err(self.refused(id, status.as_u16()));
            }
            StatusCode::NOT_FOUND => return Err(StoreError::HubNotFound(id.to_string())),
            status => return Err(failed(format!("the hub answers {status}"))),
        }
        let body = response
            .body_mut()
            .with_config()
            .limit(MOST)
            .read_to_string();
        let body = body.map_err(|e| failed(e.to_string()))?;
        let info: Info = serde_json::from_str(&body)
            .map_err(|e| failed(format!("its listing can't be read ({e})")))?;
        let commit = info.sha.unwrap_or_else(|| id.revision.clone());
        if !safe(&commit) {
            return Err(failed(format!("its commit is named {commit:?}")));
        }
        // What has no size can't be checked, and is no file that a model needs.
        let files = info.siblings.into_iter().filter_map(|file| {
            let lfs = file.lfs.as_ref();
            Some(HubFile {
                bytes: lfs.and_then(|lfs| lfs.size).or(file.size)?,
                sha256: lfs.and_then(|lfs| lfs.sha256.clone()),
                path: file.rfilename,
            })
        });
        Ok(Listing {
            repo: id.repo.clone(),
            revision: id.revision.clone(),
            commit,
            files: files.collect(),
        })
    }

    /// Brings one file into the folder, where it is not there yet.
    fn bring(
        &self,
        id: &HubId,
        listing: &Listing,
        folder: &Path,
        file: &HubFile,
        progress: Callback<'_>,
    ) -> Result<(), StoreError> {
        let failed = |why: String| StoreError::HubFailed {
            id: id.to_string(),
            why,
        };
        if !safe(&file.path) {
            return Err(failed(format!(
                "it has a file with the name {:?}",
                file.path
            )));
        }
        let path = folder.join(&file.path);
        if file_bytes(&path)? == Some(file.bytes) {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(StoreError::io("create", parent))?;
        }
        let part = path.with_added_extension("part");
        let url = format!(
            "{}/{}/resolve/{}/{}",
            self.remote.hub,
            listing.repo,
            listing.commit,
            file.path.replace(' ', "%20")
        );
        // Bytes from an earlier pull may be damaged: then once more, afresh.
        for _ in 0..2 {
            if file.bytes == 0 {
                File::create(&part).map_err(StoreError::io("create", &part))?;
            }
            let download =
                hub::Download::new(&self.remote, url.clone(), file.bytes, &file.path, &part);
            match download.run(progress) {
                Ok(()) => {}
                Err(Failed::Store(error)) => return Err(error),
                Err(Failed::Refused(status)) => return Err(self.refused(id, status)),
                Err(Failed::Source(why)) => return Err(failed(format!("{}: {why}", file.path))),
            }
            let Some(want) = &file.sha256 else {
                return settle(&part, &path);
            };
            let (_, have) = hash(&part, progress)?;
            if have == *want {
                return settle(&part, &path);
            }
            fs::remove_file(&part).map_err(StoreError::io("remove", &part))?;
        }
        Err(failed(format!(
            "{}: the bytes have another sha256 than the hub says, twice. They are removed",
            file.path
        )))
    }

    fn refused(&self, id: &HubId, status: u16) -> StoreError {
        StoreError::HubRefused {
            id: id.to_string(),
            status,
            token: self.remote.token.is_some(),
        }
    }
}

/// Adds the shards that an index names, which must be there to be read; `None` where it isn't.
fn with_shards(
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
    let index: Index = serde_json::from_slice(&text).map_err(|e| failed(e.to_string()))?;
    for name in index.weight_map.into_values().collect::<BTreeSet<_>>() {
        let shard = listing.file(&name).filter(|_| safe(&name));
        let shard = shard
            .ok_or_else(|| failed(format!("it names {name:?}, which the repository lacks")))?;
        files.push(shard.clone());
    }
    Ok(Some(files))
}

/// Whether all of these are there, as long as they should be.
fn are_there(folder: &Path, files: &[HubFile]) -> Result<bool, StoreError> {
    for file in files {
        if file_bytes(&folder.join(&file.path))? != Some(file.bytes) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What a model is loaded from.
fn place(folder: &Path, files: &[HubFile]) -> PathBuf {
    match files.first() {
        Some(first) if first.path.ends_with(".gguf") => folder.join(&first.path),
        _ => folder.to_owned(),
    }
}

fn read_record(folder: &Path) -> Result<Option<Listing>, StoreError> {
    let path = folder.join(RECORD);
    match fs::read(&path) {
        // A damaged record is no record: the hub is asked again.
        Ok(text) => Ok(serde_json::from_slice(&text).ok()),
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(e) => Err(StoreError::io("read", path)(e)),
    }
}

fn write_record(folder: &Path, listing: &Listing) -> Result<(), StoreError> {
    let path = folder.join(RECORD);
    let text = serde_json::to_vec_pretty(listing).map_err(io::Error::from);
    text.and_then(|text| fs::write(&path, text))
        .map_err(StoreError::io("write", &path))
}
