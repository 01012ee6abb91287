//! A pull from the hub by id: what the repository holds at which commit, and its files one after the other.
//!
//! This is done with our own [`Remote`](super::Remote), which the default model's pull has anyway, and not with the crate
//! `hf-hub`: that keeps files in a cache of its own, and its version 1.0 needs tokio, reqwest and hf-xet.

use super::{
    Callback, HubId, Progress, Store, StoreError,
    error::Failed,
    files::{file_bytes, is_there, remove_folder, settle},
    hub::{self, Trouble, impostor, judge},
    hub_check::{Check, check},
    hub_folder::{MOST, are_there, place, read_record, with_shards, write_record},
    hub_id::{HubFile, Listing, folder_files, safe},
    pip,
    reach::Reach,
};
use periapt_core::formats::hub::INDEX;
use serde::Deserialize;
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};
use ureq::http::{StatusCode, header};

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
    #[serde(rename = "blobId")]
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: Option<String>,
    size: Option<u64>,
}

impl Sibling {
    /// What has no size can't be checked, and is no file that a model needs.
    fn file(self) -> Option<HubFile> {
        let hash = |text: Option<String>, digits| {
            text.filter(|text| text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit()))
                .map(|text| text.to_ascii_lowercase())
        };
        // The blob of a large file is its pointer.
        let blob = hash(self.blob_id, 40).filter(|_| self.lfs.is_none());
        let lfs = self.lfs.unwrap_or(Lfs {
            sha256: None,
            size: None,
        });
        Some(HubFile {
            bytes: lfs.size.or(self.size)?,
            sha256: hash(lfs.sha256, 64),
            blob,
            path: self.rfilename,
        })
    }
}

impl Store {
    /// Brings the model `id` into the store and returns where it lies: its folder of safetensors, or its (first) GGUF
    /// file. What is there already is not asked for again, even where the revision has moved on: remove the model to
    /// pull it anew. A pull that was cut goes on where it ended, at the commit it began with.
    ///
    /// # Errors
    /// [`StoreError::HubRefused`], [`StoreError::HubNotFound`], [`StoreError::HubFailed`], [`StoreError::HubChoice`],
    /// [`StoreError::HubNoModel`], [`StoreError::Offline`], [`StoreError::Variable`], [`StoreError::DiskFull`],
    /// [`StoreError::Io`].
    pub fn pull_hub(&self, id: &HubId, progress: Callback<'_>) -> Result<PathBuf, StoreError> {
        if let Some(path) = self.hub_path(id)? {
            return Ok(path);
        }
        self.remote.is_online(&id.to_string())?;
        let reach = self.remote.reach()?;
        fs::create_dir_all(&self.root).map_err(|source| self.unwritable(source))?;
        let _lock = self.lock(&id.folder(), &mut |name| {
            progress(Progress::Notice(&format!(
                "another process is pulling {name}: waiting for it"
            )));
            true
        })?;
        // The other process may have brought it.
        if let Some(path) = self.hub_path(id)? {
            return Ok(path);
        }
        let folder = self.hub_folder(id)?;
        self.make_way(id, &folder)?;
        let record = read_record(&folder)?;
        let listing = match &record {
            Some(listing) => listing.clone(),
            None => self.ask(id, &reach, progress)?,
        };
        let files = listing.choose(id)?;
        fs::create_dir_all(&folder).map_err(|source| self.unwritable(source))?;
        if record.is_none() {
            adopt(&folder, &listing, progress)?;
            write_record(&folder, &listing)?;
        }
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
            self.bring(id, &reach, &listing, &folder, file, progress)?;
        }
        let files = with_shards(&listing, &folder, files)?.unwrap_or_default();
        for file in &files {
            self.bring(id, &reach, &listing, &folder, file, progress)?;
        }
        if !are_there(&folder, &files)? {
            return Err(StoreError::HubFailed {
                id: id.to_string(),
                why: "not all of its files are there".to_owned(),
            });
        }
        Ok(place(&folder, &files))
    }

    /// Removes all that was pulled of the repository at the id's revision; returns the bytes freed.
    pub(super) fn remove_hub(&self, id: &HubId) -> Result<u64, StoreError> {
        let folder = self.hub_folder(id)?;
        // A record that can't be read is nobody's.
        let is_others = matches!(read_record(&folder), Ok(Some(listing)) if !listing.is_of(id));
        if !folder.is_dir() || is_others {
            return Err(self.not_in_store(&id.to_string()));
        }
        let _lock = self
            .lock(&id.folder(), &mut |_| false)?
            .ok_or_else(|| StoreError::Busy(id.to_string()))?;
        let freed = pip::folder_bytes(&folder);
        remove_folder(&folder)?;
        Ok(freed)
    }

    /// Another id's files in the folder go to the folder of their own name: before, two ids could share one.
    fn make_way(&self, id: &HubId, folder: &Path) -> Result<(), StoreError> {
        let Some(listing) = read_record(folder)?.filter(|listing| !listing.is_of(id)) else {
            return Ok(());
        };
        let own = listing.id().map(|other| self.root.join(other.folder()));
        match own.filter(|own| !is_there(own)) {
            Some(own) => fs::rename(folder, own).map_err(StoreError::io("rename", folder)),
            None => Err(StoreError::HubFailed {
                id: id.to_string(),
                why: format!(
                    "its folder {} holds {}@{}: move that away",
                    folder.display(),
                    listing.repo.escape_debug(),
                    listing.revision.escape_debug()
                ),
            }),
        }
    }

    /// The repository's files at the revision.
    fn ask(
        &self,
        id: &HubId,
        reach: &Reach<'_>,
        progress: Callback<'_>,
    ) -> Result<Listing, StoreError> {
        let mut tries = 1;
        loop {
            let (why, asked) = match ask_once(id, reach) {
                Ok(Some(listing)) => return Ok(listing),
                Ok(None) => return Err(StoreError::HubNotFound(id.to_string())),
                Err(Trouble::Final(failed)) => return Err(fail(id, reach, failed, "")),
                Err(Trouble::Again(why, asked)) => (why, asked),
            };
            if tries >= self.remote.attempts {
                return Err(fail(id, reach, Failed::Source(why), ""));
            }
            progress(Progress::Notice(&format!("{why}; trying again")));
            let pause = self.remote.retry_pause * 2_u32.saturating_pow(tries - 1);
            thread::sleep(pause.max(asked));
            tries += 1;
        }
    }

    /// Brings one file into the folder, where it is not there yet.
    fn bring(
        &self,
        id: &HubId,
        reach: &Reach<'_>,
        listing: &Listing,
        folder: &Path,
        file: &HubFile,
        progress: Callback<'_>,
    ) -> Result<(), StoreError> {
        let failed = |why: String| fail(id, reach, Failed::Source(why), "");
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
        let segments = listing.repo.split('/').chain(["resolve", &listing.commit]);
        let url = reach.hub.at(segments.chain(file.path.split('/')));
        let mut wrong = String::new();
        // Bytes from an earlier pull may be damaged: then once more, afresh.
        for _ in 0..2 {
            if file.bytes == 0 {
                File::create(&part).map_err(StoreError::io("create", &part))?;
            }
            hub::Download::new(reach, url.clone(), file.bytes, &file.path, &part)
                .run(progress)
                .map_err(|failed| fail(id, reach, failed, &file.path))?;
            match check(file, &part, progress)? {
                Check::Right | Check::Unknown => return settle(&part, &path),
                Check::Wrong { kind, .. } => {
                    fs::remove_file(&part).map_err(StoreError::io("remove", &part))?;
                    wrong = format!(
                        "{}: the bytes have another {kind} than the hub says, twice. They are removed",
                        file.path
                    );
                }
            }
        }
        Err(failed(wrong))
    }
}

/// What a failure means for the pull of `id`, and of which of its files.
fn fail(id: &HubId, reach: &Reach<'_>, failed: Failed, file: &str) -> StoreError {
    match failed {
        Failed::Store(error) => error,
        Failed::Refused(status) => StoreError::HubRefused {
            id: id.to_string(),
            status,
            token: reach.token().is_some(),
            withheld: reach.token().is_none() && reach.remote.token.is_some(),
        },
        Failed::Source(why) => StoreError::HubFailed {
            id: id.to_string(),
            why: match file {
                "" => why,
                file => format!("{file}: {why}"),
            },
        },
    }
}

/// The listing, or nothing where the hub has no such repository or revision.
fn ask_once(id: &HubId, reach: &Reach<'_>) -> Result<Option<Listing>, Trouble> {
    let refuse = |why: String| Trouble::Final(Failed::Source(why));
    let segments = ["api", "models"].into_iter().chain(id.repo.split('/'));
    let mut url = reach.hub.at(segments.chain(["revision", &id.revision]));
    url.set_query(Some("blobs=true"));
    let mut response = reach.get(&url, &[])?;
    if response.status() == StatusCode::NOT_FOUND {
        return Ok(None);
    }
    judge(&response, &format!("the listing of {}", reach.name()))?;
    let kind = response.headers().get(header::CONTENT_TYPE).cloned();
    let body = response.body_mut().with_config().limit(MOST).read_to_vec();
    let body = body.map_err(|error| match error {
        ureq::Error::BodyExceedsLimit(_) => refuse(format!("its listing is over {MOST} bytes")),
        error => Trouble::Again(format!("its listing broke off ({error})"), Duration::ZERO),
    })?;
    if impostor(&body).is_some()
        || kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"))
    {
        return Err(refuse(format!(
            "{} answers with a web page instead of a listing (a login page or a proxy in between, or no hub?)",
            reach.name()
        )));
    }
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&body);
    let info: Info = serde_json::from_slice(body).map_err(|error| {
        refuse(format!(
            "the listing of {} can't be read ({error})",
            reach.name()
        ))
    })?;
    let commit = info.sha.unwrap_or_else(|| id.revision.clone());
    if !safe(&commit) {
        return Err(refuse(format!("its commit is named {commit:?}")));
    }
    let is_weights = |name: &str| name.ends_with(".gguf") || name.ends_with(".safetensors");
    let told = info.siblings.iter().any(|file| is_weights(&file.rfilename));
    let files: Vec<HubFile> = (info.siblings.into_iter())
        .filter_map(Sibling::file)
        .collect();
    if told && !files.iter().any(|file| is_weights(&file.path)) {
        return Err(refuse(format!(
            "{} tells no sizes of its files, without which they can't be checked (a mirror that leaves out `blobs=true`?)",
            reach.name()
        )));
    }
    Ok(Some(Listing {
        repo: id.repo.clone(),
        revision: id.revision.clone(),
        commit,
        files,
    }))
}

/// Files in a folder whose record was lost may be another commit's: what is not this listing's byte for byte goes, and what
/// a model would be read from, though this listing lacks it, is set aside.
fn adopt(folder: &Path, listing: &Listing, progress: Callback<'_>) -> Result<(), StoreError> {
    for file in listing.files.iter().filter(|file| safe(&file.path)) {
        let path = folder.join(&file.path);
        let part = path.with_added_extension("part");
        // A part is judged when it is whole, where it can be.
        let mut wrong = vec![part].split_off(usize::from(file.known().is_some()));
        if file_bytes(&path)? == Some(file.bytes)
            && !matches!(check(file, &path, progress)?, Check::Right)
        {
            wrong.push(path);
        }
        for path in wrong.into_iter().filter(|path| is_there(path)) {
            fs::remove_file(&path).map_err(StoreError::io("remove", path))?;
        }
    }
    for name in folder_files() {
        let path = folder.join(name);
        if listing.file(name).is_none() && is_there(&path) {
            let aside = path.with_added_extension("unknown");
            progress(Progress::Notice(&format!(
                "{} is not of commit {}: it is set aside as {}",
                path.display(),
                listing.commit,
                aside.display()
            )));
            fs::rename(&path, aside).map_err(StoreError::io("rename", path))?;
        }
    }
    Ok(())
}
