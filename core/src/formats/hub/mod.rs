//! A folder as the hub has models (`config.json`, `*.safetensors`, `tokenizer.json` and other texts), read as the GGUF
//! file that ggml's converter would make of it: names, shapes, types, metadata, and the order of rows. All that comes
//! after is one way for both.
//!
//! No tokenizer is read here: [`HubFiles`] has the texts, and `load::folder` says what they mean.

mod config;
mod error;
mod files;
mod names;
mod rope;

#[cfg(test)]
mod tests;

pub use error::HubError;
pub use files::{
    CHAT_TEMPLATE, CONFIG, GENERATION_CONFIG, INDEX, TEXTS, TOKENIZER, TOKENIZER_CONFIG, WEIGHTS,
};

use super::foreign::{self, BEGIN};
use super::gguf::{Gguf, Metadata, NewTensor, TensorType, Value};
use super::rotary::join_pairs;
use super::safetensors::{Header, Index, Tensor};
use super::source::{convert, set_file_type};
use config::Config;
use names::{HEAD, Meaning, Rotary, SCORE, meaning};
use std::collections::{HashMap, HashSet};
use std::io::{self, Read, Seek, SeekFrom};

/// Bytes of a text of the folder; vocabularies are the largest.
const MAX_TEXT_BYTES: u64 = 128 << 20;

/// Opens a file of the folder by its plain name; `None` where it isn't there.
pub type OpenFile<'a, R> = dyn FnMut(&str) -> io::Result<Option<R>> + 'a;

/// A folder's files, before its tokenizer was read.
#[derive(Debug)]
pub struct HubFiles<R> {
    metadata: Metadata,
    tensors: Vec<NewTensor>,
    origins: Vec<Origin>,
    shards: Vec<(String, R)>,
    /// `tokenizer.json`.
    pub tokenizer: String,
    /// `tokenizer_config.json`.
    pub tokenizer_config: Option<String>,
    /// `chat_template.jinja`.
    pub chat_template: Option<String>,
    /// `chat_template.json`.
    pub chat_template_json: Option<String>,
    /// `generation_config.json`.
    pub generation_config: Option<String>,
    /// `config.json`.
    pub config: String,
}

/// The files of weights that a folder must have, of its `config.json` and, where it has one, the text of
/// `model.safetensors.index.json`: what there is to fetch, and whether it is worth fetching.
///
/// # Errors
///
/// [`HubError`] where the model is none that we can run, whatever its weights, or a text is damaged.
pub fn weight_files(config: &str, index: Option<&str>) -> Result<Vec<String>, HubError> {
    let json = serde_json::from_str(config).map_err(|error| config::damaged(error.to_string()))?;
    Config::new(&json, "")?;
    let Some(index) = index else {
        return Ok(vec![WEIGHTS.to_owned()]);
    };
    let index = Index::parse(index.as_bytes()).map_err(|source| HubError::Weights {
        file: INDEX.to_owned(),
        source,
    })?;
    let names = index.shards().into_iter();
    Ok(names.map(|(name, _)| name.to_owned()).collect())
}

/// Where a tensor's bytes come from.
#[derive(Debug)]
enum Origin {
    Stored {
        shard: usize,
        tensor: Tensor,
        /// How it is stored.
        dtype: TensorType,
        /// Its rows are of so many heads, whose rotary pairs are to be joined.
        heads: Option<usize>,
    },
    Made(Vec<u8>),
}

/// A folder as a GGUF file.
#[derive(Debug)]
pub struct Folder<R> {
    gguf: Gguf,
    origins: Vec<Origin>,
    shards: Vec<(String, R)>,
}

impl<R: Read + Seek> HubFiles<R> {
    /// Reads the texts, and the headers of the weights. `name` is what the model is called.
    ///
    /// # Errors
    ///
    /// [`HubError`] where a file is missing, can't be read, or is not of a model that we can run.
    pub fn read(name: &str, open: &mut OpenFile<'_, R>) -> Result<Self, HubError> {
        let Some(config) = text(CONFIG, open)? else {
            let hint = match open("adapter_config.json").is_ok_and(|file| file.is_some()) {
                true => "it holds a LoRA adapter, which is to be merged into its model first",
                false => "a model's folder has it beside its *.safetensors files, as the hub does",
            };
            return Err(HubError::Missing { file: CONFIG, hint });
        };
        let json =
            serde_json::from_str(&config).map_err(|error| config::damaged(error.to_string()))?;
        let model = Config::new(&json, name)?;
        let Some(tokenizer) = text(TOKENIZER, open)? else {
            return Err(no_tokenizer(open));
        };
        let (shards, stored) = weights(open)?;
        let mut files = Self {
            metadata: Metadata::default(),
            tensors: Vec::new(),
            origins: Vec::new(),
            shards,
            tokenizer,
            tokenizer_config: text(TOKENIZER_CONFIG, open)?,
            chat_template: text(CHAT_TEMPLATE, open)?,
            chat_template_json: text("chat_template.json", open)?,
            generation_config: text(GENERATION_CONFIG, open)?,
            config,
        };
        files.plan(&model, stored)?;
        files.metadata = model.metadata;
        let most = files.tensors.iter().find(|tensor| tensor.shape.len() == 2);
        if let Some(tensor) = most {
            set_file_type(&mut files.metadata, tensor.dtype);
        }
        Ok(files)
    }

    /// Tokens that the model has: rows of its embedding.
    #[must_use]
    pub fn rows(&self) -> usize {
        let embedding = self
            .tensors
            .iter()
            .find(|tensor| tensor.name == "token_embd.weight");
        embedding
            .and_then(|tensor| tensor.shape.first().copied())
            .unwrap_or(0)
    }

    /// The folder, its metadata with these, too.
    ///
    /// # Errors
    ///
    /// [`HubError::Gguf`] where our own reader would refuse the header.
    pub fn finish(mut self, more: Vec<(String, Value)>) -> Result<Folder<R>, HubError> {
        for (key, value) in more {
            self.metadata.insert(key, value);
        }
        Ok(Folder {
            gguf: Gguf::new(&self.metadata, &self.tensors)?,
            origins: self.origins,
            shards: self.shards,
        })
    }

    /// Says of each tensor what it becomes.
    fn plan(&mut self, model: &Config, stored: Vec<(usize, Tensor)>) -> Result<(), HubError> {
        let needed = if model.classifier { SCORE } else { HEAD };
        let is_there = stored.iter().any(|(_, tensor)| tensor.name == needed);
        if !is_there && (model.classifier || !model.tied) {
            return Err(HubError::MissingTensor(needed));
        }
        for (shard, tensor) in stored {
            let name = match meaning(&tensor.name) {
                Meaning::Known(name) => name,
                Meaning::Ignored => continue,
                Meaning::Unknown => return Err(HubError::UnknownTensor(tensor.name)),
            };
            if tensor.name == HEAD && (model.tied || model.classifier) {
                continue;
            }
            let Some(dtype) = tensor.dtype.float() else {
                return Err(HubError::Dtype {
                    dtype: tensor.dtype.name,
                    tensor: tensor.name,
                });
            };
            let heads = match name.rotary {
                Rotary::Queries if model.joins_pairs => Some(model.heads),
                Rotary::Keys if model.joins_pairs => Some(model.kv_heads),
                _ => None,
            };
            if let Some(heads) = heads {
                let rows = tensor.shape.first().copied().unwrap_or(0);
                if rows == 0 || !rows.is_multiple_of(2 * heads) {
                    return Err(HubError::Heads {
                        tensor: tensor.name,
                        shape: tensor.shape,
                        heads,
                    });
                }
            }
            self.tensors.push(NewTensor {
                name: name.gguf,
                shape: tensor.shape.clone(),
                dtype: match tensor.shape.len() {
                    // Norms and biases, as ggml's converter has them.
                    0 | 1 => TensorType::F32,
                    _ => dtype,
                },
            });
            self.origins.push(Origin::Stored {
                shard,
                tensor,
                dtype,
                heads,
            });
        }
        if !model.rope_factors.is_empty() {
            self.tensors.push(NewTensor {
                name: "rope_freqs.weight".to_owned(),
                shape: vec![model.rope_factors.len()],
                dtype: TensorType::F32,
            });
            let bytes = model
                .rope_factors
                .iter()
                .flat_map(|factor| factor.to_le_bytes());
            self.origins.push(Origin::Made(bytes.collect()));
        }
        Ok(())
    }
}

impl<R: Read + Seek> Folder<R> {
    /// The header that its GGUF file would have.
    #[must_use]
    pub fn gguf(&self) -> &Gguf {
        &self.gguf
    }

    /// The bytes of the tensor with that index in [`Folder::gguf`].
    ///
    /// # Errors
    ///
    /// [`HubError`] where they can't be read.
    pub fn read(&mut self, index: usize) -> Result<Vec<u8>, HubError> {
        let (shard, tensor, dtype, heads) = match &self.origins[index] {
            Origin::Made(bytes) => return Ok(bytes.clone()),
            Origin::Stored {
                shard,
                tensor,
                dtype,
                heads,
            } => (*shard, tensor, *dtype, *heads),
        };
        let (file, reader) = &mut self.shards[shard];
        let mut bytes = read_range(reader, tensor).map_err(|source| HubError::Io {
            file: file.clone(),
            source,
        })?;
        if let Some(heads) = heads {
            let rows = tensor.shape.first().copied().unwrap_or(1);
            bytes = join_pairs(&bytes, bytes.len() / rows, rows / heads);
        }
        convert(bytes, dtype, self.gguf.tensors[index].dtype).map_err(|source| HubError::Quant {
            tensor: tensor.name.clone(),
            source,
        })
    }
}

fn read_range<R: Read + Seek>(reader: &mut R, tensor: &Tensor) -> io::Result<Vec<u8>> {
    let size = usize::try_from(tensor.bytes).unwrap_or(usize::MAX);
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(size)
        .map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    reader.seek(SeekFrom::Start(tensor.offset))?;
    reader.take(tensor.bytes).read_to_end(&mut bytes)?;
    match bytes.len() == size {
        true => Ok(bytes),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// A text of the folder.
fn text<R: Read>(
    file: &'static str,
    open: &mut OpenFile<'_, R>,
) -> Result<Option<String>, HubError> {
    let failed = |source| HubError::Io {
        file: file.to_owned(),
        source,
    };
    let Some(reader) = open(file).map_err(failed)? else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    let mut reader = reader.take(MAX_TEXT_BYTES + 1);
    reader.read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_TEXT_BYTES {
        let max = MAX_TEXT_BYTES;
        return Err(HubError::TooLarge { file, max });
    }
    let plain = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes);
    let begin = &plain[..plain.len().min(BEGIN)];
    // A template may look like anything.
    let json = matches!(begin.trim_ascii_start(), [b'{' | b'[', ..]) || file.ends_with(".jinja");
    if (!json || foreign::is_pointer(begin))
        && let Some(what) = foreign::what(begin)
    {
        return Err(HubError::Foreign { file, what });
    }
    match str::from_utf8(plain) {
        Ok(text) => Ok(Some(text.to_owned())),
        Err(_) => Err(HubError::Damaged {
            file,
            problem: "it is not UTF-8".to_owned(),
        }),
    }
}

/// Why there is no tokenizer, by what there is instead.
fn no_tokenizer<R: Read>(open: &mut OpenFile<'_, R>) -> HubError {
    let mut has = |file| open(file).is_ok_and(|file| file.is_some());
    let hint = if has("tokenizer.model") || has("spiece.model") {
        "SentencePiece's tokenizer.model alone is not read; make the other of it, in Python with transformers: \
         AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"
    } else if has("vocab.json") {
        "vocab.json and merges.txt alone are not read; make it of them, in Python with transformers: \
         AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"
    } else {
        "get it from where the model is from"
    };
    HubError::Missing {
        file: TOKENIZER,
        hint,
    }
}

type Stored<R> = (Vec<(String, R)>, Vec<(usize, Tensor)>);

/// The files of weights, and all their tensors, each with its file's index.
fn weights<R: Read + Seek>(open: &mut OpenFile<'_, R>) -> Result<Stored<R>, HubError> {
    let index = match text(INDEX, open)? {
        Some(json) => Some(
            Index::parse(json.as_bytes()).map_err(|source| HubError::Weights {
                file: INDEX.to_owned(),
                source,
            })?,
        ),
        None => None,
    };
    let names = match &index {
        Some(index) => index.shards(),
        None => vec![(WEIGHTS, 0)],
    };
    let (mut shards, mut stored) = (Vec::new(), Vec::new());
    for (name, tensors) in names {
        let opened = open(name).map_err(|source| HubError::Io {
            file: name.to_owned(),
            source,
        })?;
        let Some(mut reader) = opened else {
            return Err(match &index {
                Some(index) => HubError::MissingShard {
                    shard: name.to_owned(),
                    tensors,
                    all: index.tensors.len(),
                },
                None => HubError::Missing {
                    file: WEIGHTS,
                    hint: "nor its index; of a model's weights only safetensors are read (no *.bin files)",
                },
            });
        };
        let header = Header::read(&mut reader).map_err(|source| HubError::Weights {
            file: name.to_owned(),
            source,
        })?;
        let number = shards.len();
        stored.extend(header.tensors.into_iter().map(|tensor| (number, tensor)));
        shards.push((name.to_owned(), reader));
    }
    let mut names = HashSet::new();
    if let Some((_, twin)) = stored
        .iter()
        .find(|(_, tensor)| !names.insert(&tensor.name))
    {
        return Err(HubError::Twice(twin.name.clone()));
    }
    if let Some(index) = index {
        let homes: HashMap<&str, &str> = stored
            .iter()
            .map(|(shard, tensor)| (tensor.name.as_str(), shards[*shard].0.as_str()))
            .collect();
        for (tensor, file) in index.tensors {
            if homes.get(tensor.as_str()) != Some(&file.as_str()) {
                return Err(HubError::NotInShard { file, tensor });
            }
        }
    }
    Ok((shards, stored))
}
