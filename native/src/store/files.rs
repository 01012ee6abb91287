//! Names and files: what the rest of the store is built from.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

use periapt_core::contract::{hex, sha256};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::{Callback, Phase, Progress, StoreError};

/// Refuses what is not the plain name of a GGUF file: nothing else in the store may be reached by name, and
/// nothing outside it.
pub(super) fn check_name(name: &str) -> Result<(), StoreError> {
    let plain = name.ends_with(".gguf")
        && !name.starts_with('.')
        && !name.contains(|c: char| matches!(c, '/' | '\\' | ':') || c.is_control());
    if plain {
        Ok(())
    } else {
        Err(StoreError::BadName(name.to_owned()))
    }
}

pub(super) fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Size of a plain file (through links); `None` where there is none.
pub(super) fn file_bytes(path: &Path) -> Result<Option<u64>, StoreError> {
    match fs::metadata(path) {
        Ok(meta) => Ok(meta.is_file().then_some(meta.len())),
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

/// Gives a file that is whole its final name.
pub(super) fn settle(whole: &Path, path: &Path) -> Result<(), StoreError> {
    File::options()
        .write(true)
        .open(whole)
        .and_then(|file| file.sync_all())
        .map_err(StoreError::io("sync", whole))?;
    fs::rename(whole, path).map_err(StoreError::io("rename into place", path))
}

/// Writes a small file so that it is there whole or not at all, even after a loss of power.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let scratch = path.with_added_extension("tmp");
    fs::write(&scratch, bytes).map_err(|e| StoreError::write(&scratch, 0, e))?;
    settle(&scratch, path)?;
    // A folder can be synced on some systems alone.
    if let Some(Ok(folder)) = path.parent().map(File::open) {
        let _ = folder.sync_all();
    }
    Ok(())
}

pub(super) fn remove_folder(path: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(StoreError::io("remove", path)(e)),
        _ => Ok(()),
    }
}

/// Size and SHA-256 of a file.
pub(crate) fn hash(path: &Path, progress: Callback<'_>) -> Result<(u64, String), StoreError> {
    hash_as(path, |_| Sha256::new(), progress)
}

/// The id that Git gives to a file: the SHA-1 of its bytes behind a header with their number.
pub(super) fn blob_id(path: &Path, progress: Callback<'_>) -> Result<String, StoreError> {
    let begin = |bytes| Sha1::new_with_prefix(format!("blob {bytes}\0"));
    Ok(hash_as(path, begin, progress)?.1)
}

fn hash_as<H: Digest>(
    path: &Path,
    begin: impl FnOnce(u64) -> H,
    progress: Callback<'_>,
) -> Result<(u64, String), StoreError> {
    let mut file = File::open(path).map_err(StoreError::io("open", path))?;
    let total = file.metadata().map_err(StoreError::io("read", path))?.len();
    let label = path.file_name().unwrap_or_default().to_string_lossy();
    let mut hasher = begin(total);
    let mut chunk = vec![0; 1024 * 1024];
    let mut bytes = 0;
    loop {
        progress(Progress::Step {
            phase: Phase::Verifying,
            source: &label,
            bytes,
            total,
        });
        match file
            .read(&mut chunk)
            .map_err(StoreError::io("read", path))?
        {
            0 => break,
            n => {
                hasher.update(&chunk[..n]);
                bytes += n as u64;
            }
        }
    }
    Ok((bytes, hex(&hasher.finalize())))
}

/// The hash of a model, from its files' names and hashes: its only file's own, or the SHA-256 of the lines
/// `HASH  NAME` in the order of the names, as `sha256sum` writes them.
pub(crate) fn hash_of_files(mut files: Vec<(String, String)>) -> String {
    if let [(_, hash)] = &files[..] {
        return hash.clone();
    }
    files.sort();
    let lines = files.iter().map(|(name, hash)| format!("{hash}  {name}\n"));
    sha256(&lines.collect::<String>())
}
