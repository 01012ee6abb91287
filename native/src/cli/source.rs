//! A model's files on disk, opened: a GGUF file, the files of a split one, or a hub folder.

use crate::store::{self, StoreError};
use anyhow::Context;
use periapt_core::Error;
use periapt_core::formats::gguf::{Gguf, GgufError, GgufFiles, Split, TensorType};
use periapt_core::formats::source::{Requantized, Source};
use periapt_core::load::read_folder;
use std::fs::File;
use std::io::{self, BufReader, ErrorKind};
use std::path::{Path, PathBuf};

type Reader = BufReader<File>;

/// Opens the model at `path`: its header is read and checked, its tensors are not read yet.
pub fn open(path: &Path) -> anyhow::Result<Box<dyn Source>> {
    let cannot_load = || format!("cannot load {}", path.display());
    if path.is_dir() {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let name = absolute.file_name().unwrap_or_default().to_string_lossy();
        let mut open = |file: &str| match File::open(path.join(file)) {
            Ok(file) => Ok(Some(reader(file))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        let folder = read_folder(&name, &mut open)
            .map_err(Error::from)
            .with_context(cannot_load)?;
        return Ok(Box::new(folder));
    }
    let files = match GgufFiles::one(open_file(path).with_context(cannot_load)?) {
        Err(GgufError::SplitAlone { no, count }) => {
            let mut files = Vec::new();
            for shard in shards(path, Split { no, count }).with_context(cannot_load)? {
                let name = shard.file_name().unwrap_or_default();
                files.push((name.to_string_lossy().into_owned(), open_file(&shard)?));
            }
            GgufFiles::split(files)
        }
        files => files,
    };
    let files = files.map_err(Error::from).with_context(cannot_load)?;
    Ok(Box::new(files))
}

/// The model with its matrices in another type.
pub fn requantize(
    source: Box<dyn Source>,
    to: TensorType,
    path: &Path,
) -> anyhow::Result<Box<dyn Source>> {
    let requantized = Requantized::new(source, to).map_err(Error::from);
    let requantized = requantized.with_context(|| format!("cannot quantize {}", path.display()))?;
    Ok(Box::new(requantized))
}

/// The SHA-256 of a model's file; of a model in several files, that of the list of theirs ([`store::hash_of_files`]).
pub fn sha256(path: &Path) -> anyhow::Result<String> {
    let mut hashes = Vec::new();
    for file in files(path)? {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        hashes.push((name.into_owned(), store::hash(&file, &mut |_| {})?.1));
    }
    Ok(store::hash_of_files(hashes))
}

/// All files that a model is read from.
pub fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        let header = Gguf::read(&mut open_file(path)?).map_err(Error::from)?;
        return match Split::of(&header.metadata).map_err(Error::from)? {
            Some(split) => Ok(shards(path, split)?),
            None => Ok(vec![path.to_owned()]),
        };
    }
    let read = |source: io::Error| StoreError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(read)? {
        let file = entry.map_err(read)?.path();
        let ending = file.extension().and_then(|ending| ending.to_str());
        if file.is_file() && matches!(ending, Some("safetensors" | "json" | "jinja")) {
            files.push(file);
        }
    }
    Ok(files)
}

/// The files of the split model that `path` is one of, in order.
fn shards(path: &Path, split: Split) -> Result<Vec<PathBuf>, StoreError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let names = split
        .file_names(&name)
        .ok_or_else(|| StoreError::SplitName {
            path: path.to_owned(),
            split,
        })?;
    let shards: Vec<PathBuf> = names.iter().map(|name| path.with_file_name(name)).collect();
    match shards.iter().find(|shard| !shard.is_file()) {
        Some(missing) => Err(StoreError::MissingShard {
            path: missing.clone(),
            count: split.count,
        }),
        None => Ok(shards),
    }
}

fn open_file(path: &Path) -> Result<Reader, StoreError> {
    let file = File::open(path).map_err(|source| StoreError::Io {
        action: "open",
        path: path.to_owned(),
        source,
    })?;
    Ok(reader(file))
}

fn reader(file: File) -> Reader {
    BufReader::with_capacity(1 << 20, file)
}
