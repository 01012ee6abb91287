//! Whether the bytes of a model from the hub are those that the hub has told of.

use super::{
    Callback, HubId, Store, StoreError, Verified,
    files::{blob_id, file_bytes, hash, hash_of_files},
    hub_folder::{place, read_record, with_shards},
    hub_id::{HubFile, folder_files},
};
use std::{collections::BTreeSet, fs, path::Path};

const SHA256: &str = "sha256";
const BLOB: &str = "git blob id";

/// A file held against its hash.
pub(super) enum Check {
    Right,
    /// Nobody has told its hash.
    Unknown,
    Wrong {
        kind: &'static str,
        have: String,
        want: String,
    },
}

impl HubFile {
    /// The hash that the hub has told, and which it is.
    pub(super) fn known(&self) -> Option<(&'static str, &str)> {
        let sha256 = self.sha256.as_deref().map(|hash| (SHA256, hash));
        sha256.or_else(|| Some((BLOB, self.blob.as_deref()?)))
    }
}

/// Holds the file at `path` against what the hub says of it.
pub(super) fn check(
    file: &HubFile,
    path: &Path,
    progress: Callback<'_>,
) -> Result<Check, StoreError> {
    let Some((kind, want)) = file.known() else {
        return Ok(Check::Unknown);
    };
    let have = match kind {
        SHA256 => hash(path, progress)?.1,
        _ => blob_id(path, progress)?,
    };
    Ok(match have.eq_ignore_ascii_case(want) {
        true => Check::Right,
        false => Check::Wrong {
            kind,
            have,
            want: want.to_owned(),
        },
    })
}

impl Store {
    /// Hashes all files of the model `id` and compares those whose hashes the hub has told.
    pub(super) fn verify_hub(
        &self,
        id: &HubId,
        progress: Callback<'_>,
    ) -> Result<Verified, StoreError> {
        let name = id.to_string();
        let folder = self.hub_folder(id)?;
        let listing = read_record(&folder)?.filter(|listing| listing.is_of(id));
        let listing = listing.ok_or_else(|| self.not_in_store(&name))?;
        let chosen = listing.choose(id)?;
        let all = with_shards(&listing, &folder, chosen.clone())?;
        let files = all.as_ref().unwrap_or(&chosen);
        let (mut have, mut want, mut is_whole) = (0, 0, all.is_some());
        for file in files {
            let bytes = file_bytes(&folder.join(&file.path))?;
            is_whole &= bytes.is_some();
            have += bytes.unwrap_or(0).min(file.bytes);
            want += file.bytes;
        }
        if !is_whole {
            return Err(StoreError::Partial { name, have, want });
        }
        let (mut unknown, mut hashes, mut bytes) = (Vec::new(), Vec::new(), 0);
        for file in files {
            let path = folder.join(&file.path);
            if let Check::Wrong { kind, have, want } = check(file, &path, progress)? {
                return Err(StoreError::HashMismatch {
                    name,
                    path,
                    kind,
                    have,
                    want,
                });
            }
            let (length, sha256) = hash(&path, progress)?;
            if length != file.bytes {
                return Err(StoreError::WrongSize {
                    name,
                    path,
                    have: length,
                    want: file.bytes,
                });
            }
            if file.known().is_none() {
                unknown.push(file.path.clone());
            }
            bytes += length;
            hashes.push((file.path.clone(), sha256));
        }
        let path = place(&folder, files);
        if path == folder {
            let own: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
            unknown.extend(
                readable(&folder)?
                    .into_iter()
                    .filter(|name| !own.contains(name.as_str())),
            );
        }
        Ok(Verified {
            path,
            bytes,
            sha256: hash_of_files(hashes),
            known: unknown.is_empty(),
            unknown,
        })
    }
}

/// The files of a folder that a model could be read from, whoever put them there.
fn readable(folder: &Path) -> Result<Vec<String>, StoreError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(StoreError::io("read", folder))? {
        let entry = entry.map_err(StoreError::io("read", folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if folder_files().any(|file| file == name) || name.ends_with(".safetensors") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
