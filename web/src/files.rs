//! Models of several files: the files of a split GGUF model, or a hub folder. The worker has them lie where they can be
//! read from any place on, and [`FilesLoader`] reads one tensor a call.

use crate::error::{self, JsResult, bad_request, new};
use crate::{Engine, Model};
use periapt_core::Error;
use periapt_core::contract::hex;
use periapt_core::formats::gguf::{Gguf, GgufFiles, Split, TensorType};
use periapt_core::formats::hub::{TEXTS, weight_files};
use periapt_core::formats::source::{Requantized, Source};
use periapt_core::load::{SourceLoader, read_folder};
use sha2::{Digest, Sha256};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use wasm_bindgen::prelude::*;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = "
/** A file that can be read from any place on, at once. */
export interface ModelFile {
  name: string;
  size: number;
  /** Reads bytes from `at` on into `into`; gives how many, 0 at the end alone. */
  read(into: Uint8Array, at: number): number;
}
";

#[wasm_bindgen]
extern "C" {
    /// `ModelFile` of the section above.
    #[wasm_bindgen(typescript_type = "ModelFile")]
    #[derive(Debug, Clone)]
    pub type ModelFile;

    #[wasm_bindgen(method, getter)]
    fn name(this: &ModelFile) -> String;

    #[wasm_bindgen(method, getter)]
    fn size(this: &ModelFile) -> f64;

    #[wasm_bindgen(method, catch)]
    fn read(this: &ModelFile, into: &mut [u8], at: f64) -> Result<f64, JsValue>;
}

/// A file and the place where reading goes on.
#[derive(Debug)]
struct Reader {
    file: ModelFile,
    at: u64,
    size: u64,
}

impl Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        // A browser reads up to 2^53 bytes of a file, which f64 has exactly.
        let read = self.file.read(into, self.at as f64);
        let read = read.map_err(|error| io::Error::other(text(&error)))?;
        let read = (read as usize).min(into.len());
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Reader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

/// Headers are read in small pieces.
fn open(file: &ModelFile) -> BufReader<Reader> {
    let reader = Reader {
        size: file.size() as u64,
        file: file.clone(),
        at: 0,
    };
    BufReader::with_capacity(1 << 20, reader)
}

/// What a JavaScript exception says.
fn text(error: &JsValue) -> String {
    match error.dyn_ref::<js_sys::Error>() {
        Some(error) => String::from(error.message()),
        None => format!("{error:?}"),
    }
}

fn unusable(message: &str) -> JsValue {
    new("model_file", message)
}

/// Loads a model that lies in files, one tensor a call.
#[wasm_bindgen]
#[derive(Debug)]
pub struct FilesLoader {
    loader: SourceLoader<Box<dyn Source>>,
}

#[wasm_bindgen]
impl Engine {
    /// A loader of a GGUF file, of the files of a split one (in any order), or of a hub folder's. `name` is what a
    /// folder's model is called; `quantize` is `"q8_0"` or `"q4_0"`.
    ///
    /// # Errors
    ///
    /// One of the engine's own codes where the files are no model that we can run, or not all of one; `bad_request` for
    /// another type.
    pub fn files_loader(
        &self,
        name: &str,
        files: Vec<ModelFile>,
        quantize: Option<String>,
    ) -> JsResult<FilesLoader> {
        let to = match quantize.as_deref() {
            None => None,
            Some("q8_0") => Some(TensorType::Q8_0),
            Some("q4_0") => Some(TensorType::Q4_0),
            Some(other) => {
                let message = format!("quantize is {other:?}; it may be \"q8_0\" or \"q4_0\"");
                return Err(bad_request(&message));
            }
        };
        let mut source = source(name, files)?;
        if let Some(to) = to {
            let requantized = Requantized::new(source, to).map_err(Error::from);
            source = Box::new(requantized.map_err(|error| error::to_js(&error))?);
        }
        let loader = SourceLoader::new(source, &self.device);
        let loader = loader.map_err(|error| error::to_js(&error.into()))?;
        Ok(FilesLoader { loader })
    }
}

#[wasm_bindgen]
impl FilesLoader {
    /// Bytes of all tensors, as they will be on the device.
    #[wasm_bindgen(getter)]
    pub fn total(&self) -> f64 {
        self.loader.total() as f64
    }

    /// Bytes of the tensors that are loaded.
    #[wasm_bindgen(getter)]
    pub fn done(&self) -> f64 {
        self.loader.done() as f64
    }

    /// Loads the next tensor; false where there is none left. After an error the loader is of no more use.
    ///
    /// # Errors
    ///
    /// `model_file` or `model` where it can't be read or is none that the model has.
    pub fn step(&mut self) -> JsResult<bool> {
        self.loader
            .step()
            .map_err(|error| error::to_js(&error.into()))
    }

    /// The model, once every tensor is loaded.
    ///
    /// # Errors
    ///
    /// `model` where one is missing.
    pub fn finish(self) -> JsResult<Model> {
        Model::new(self.loader.finish())
    }
}

/// The names of the weights' files of a hub folder, of its `config.json` and, where it has one, its
/// `model.safetensors.index.json`.
///
/// # Errors
///
/// `model_file` where the model is none that we can run, whatever its weights.
#[wasm_bindgen]
pub fn shards(config: &str, index: Option<String>) -> JsResult<Vec<String>> {
    let files = weight_files(config, index.as_deref()).map_err(Error::from);
    files.map_err(|error| error::to_js(&error))
}

/// The names of a hub folder's texts, in the order in which they say whether it is worth going on: `config.json` and
/// `tokenizer.json`, which must be there, the index of weights in several files, and others.
#[wasm_bindgen]
pub fn texts() -> Vec<String> {
    TEXTS.map(str::to_owned).into()
}

/// Of the names of chosen files those that a model is read from. `config` and `index` are what a hub folder's
/// `config.json` and index say, where they are among the files.
///
/// # Errors
///
/// As of [`shards`].
#[wasm_bindgen]
pub fn used_files(
    mut names: Vec<String>,
    config: Option<String>,
    index: Option<String>,
) -> JsResult<Vec<String>> {
    let has_gguf = names.iter().any(|name| is_gguf(name));
    let has_weights = names.iter().any(|name| name.ends_with(".safetensors"));
    if has_weights || (config.is_some() && !has_gguf) {
        // The engine says what a folder without it lacks.
        let weights = match &config {
            Some(config) => shards(config, index)?,
            None => Vec::new(),
        };
        names.retain(|name| TEXTS.contains(&&**name) || weights.contains(name));
    } else if has_gguf {
        names.retain(|name| is_gguf(name));
    }
    Ok(names)
}

fn source(name: &str, mut files: Vec<ModelFile>) -> JsResult<Box<dyn Source>> {
    files.sort_by_key(ModelFile::name);
    if files.iter().any(|file| !is_gguf(&file.name())) {
        let mut open_file = |wanted: &str| {
            let file = files.iter().find(|file| file.name() == wanted);
            Ok(file.map(open))
        };
        let folder = read_folder(name, &mut open_file);
        return Ok(Box::new(
            folder.map_err(|error| error::to_js(&error.into()))?,
        ));
    }
    let gguf = match &files[..] {
        [] => return Err(bad_request("there are no files")),
        [file] => GgufFiles::one(open(file)),
        [first, ..] => GgufFiles::split(in_order(first, &files)?),
    };
    let gguf = gguf.map_err(|error| error::to_js(&error.into()))?;
    Ok(Box::new(gguf))
}

fn is_gguf(name: &str) -> bool {
    name.to_ascii_lowercase().ends_with(".gguf")
}

/// The files of a split model, in order, and no others.
fn in_order(first: &ModelFile, files: &[ModelFile]) -> JsResult<Vec<(String, BufReader<Reader>)>> {
    let header = Gguf::read(&mut open(first)).and_then(|gguf| Split::of(&gguf.metadata));
    let split = header.map_err(|error| error::to_js(&error.into()))?;
    let name = first.name();
    let Some(split) = split else {
        return Err(unusable(&format!(
            "{name} is a whole model: give one model at a time"
        )));
    };
    let Some(names) = split.file_names(&name) else {
        let ending = split.ending();
        return Err(unusable(&format!(
            "{name} is file {} of the {} that its model is split into, but its name does not end in {ending}: give it \
             its name back",
            u64::from(split.no) + 1,
            split.count,
        )));
    };
    if let Some(other) = files.iter().find(|file| !names.contains(&file.name())) {
        return Err(unusable(&format!(
            "{} and {name} are not files of one model: give one model at a time",
            other.name()
        )));
    }
    names
        .into_iter()
        .map(|name| match files.iter().find(|file| file.name() == name) {
            Some(file) => Ok((name, open(file))),
            None => Err(unusable(&format!(
                "{name} is missing, one of the {} files that the model is split into: give it, too",
                split.count
            ))),
        })
        .collect()
}

/// Computes a SHA-256 as bytes come.
#[wasm_bindgen]
#[derive(Debug, Default)]
pub struct Hasher(Sha256);

#[wasm_bindgen]
impl Hasher {
    /// A hash of no bytes yet.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of the bytes so far, in hexadecimal.
    #[wasm_bindgen(getter)]
    pub fn sha256(&self) -> String {
        hex(&self.0.clone().finalize())
    }
}
