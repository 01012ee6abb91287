//! Files become a model: a GGUF file as its bytes come, or any [`Source`] one tensor at a time. What one does with it
//! is `session`'s.

mod folder;
mod stepwise;
mod tokenizer;

pub use folder::read_folder;
pub use stepwise::SourceLoader;
pub use tokenizer::tokenizer_spec;

use crate::device::OpenDevice;
use crate::formats::gguf::{GgufError, GgufStream, Metadata, Split, StreamEvent};
use crate::formats::hub::HubError;
use crate::formats::source::{Source, SourceError};
use crate::model::{Decoder, DecoderBuilder, ModelError};
use crate::text::{Chat, TextError, Tokenizer};

/// Why files don't become a model.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// They can't be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Their tokenizer or chat template can't be used.
    #[error(transparent)]
    Text(#[from] TextError),
    /// They hold no model that we can run.
    #[error(transparent)]
    Model(#[from] ModelError),
}

impl From<GgufError> for LoadError {
    fn from(error: GgufError) -> Self {
        Self::Source(error.into())
    }
}

impl From<HubError> for LoadError {
    fn from(error: HubError) -> Self {
        Self::Source(error.into())
    }
}

/// What files have become: a decoder on a device, whatever its head, and what they say of text.
#[derive(Debug)]
pub struct Model {
    /// The weights.
    pub decoder: Decoder,
    /// What the files say of text.
    pub text: TextSide,
    /// Where the weights are.
    pub device: OpenDevice,
}

/// What a model's files say of text.
#[derive(Debug)]
pub struct TextSide {
    /// The model's name (`general.name`).
    pub name: Option<String>,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// Its chat template, where it has one.
    pub template: Option<Chat>,
}

impl TextSide {
    fn from_metadata(meta: &Metadata) -> Result<Self, LoadError> {
        let tokenizer = Tokenizer::new(tokenizer_spec(meta)?)?;
        let template = match meta.opt_str("tokenizer.chat_template")? {
            None => None,
            Some(source) => {
                let text = |id: Option<u32>| id.and_then(|id| tokenizer.piece(id));
                let bos = text(tokenizer.bos()).unwrap_or_default();
                let eos = text(tokenizer.eos()).unwrap_or_default();
                Some(Chat::new(source, &bos, &eos)?)
            }
        };
        Ok(Self {
            name: meta.display("general.name"),
            tokenizer,
            template,
        })
    }
}

/// Loads a model from wherever it lies. `progress` is told the bytes of tensors done and in all.
///
/// # Errors
///
/// [`LoadError`] where it can't be read or is no model we can run.
pub fn load(
    source: &mut dyn Source,
    device: &OpenDevice,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Model, LoadError> {
    let mut loader = SourceLoader::new(source, device)?;
    let total = loader.total();
    while loader.step()? {
        progress(loader.done(), total);
    }
    loader.finish()
}

/// Loads a GGUF file's bytes that come in file order, in chunks of any size.
#[derive(Debug)]
pub struct Loader {
    stream: GgufStream,
    parts: Parts,
}

impl Loader {
    /// A loader onto `device`. `total` is the file's length in bytes where it is known.
    #[must_use]
    pub fn new(device: &OpenDevice, total: Option<u64>) -> Self {
        Self {
            stream: GgufStream::new(total),
            parts: Parts::new(device),
        }
    }

    /// Takes the next bytes of the file.
    ///
    /// # Errors
    ///
    /// [`LoadError`] as soon as the bytes show that the file can't be loaded.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), LoadError> {
        let parts = &mut self.parts;
        self.stream.push(chunk, &mut |event| parts.take(event))
    }

    /// The model, once the whole file has been pushed.
    ///
    /// # Errors
    ///
    /// [`LoadError::Source`] where the file ended early.
    pub fn finish(self) -> Result<Model, LoadError> {
        self.stream.finish()?;
        self.parts.finish()
    }
}

/// A model on its way from a file to a device.
#[derive(Debug)]
struct Parts {
    device: OpenDevice,
    begun: Option<(DecoderBuilder, TextSide)>,
}

impl Parts {
    fn new(device: &OpenDevice) -> Self {
        Self {
            device: device.clone(),
            begun: None,
        }
    }

    fn take(&mut self, event: StreamEvent<'_>) -> Result<(), LoadError> {
        match (event, &mut self.begun) {
            (StreamEvent::Header(gguf), begun) => {
                if let Some(Split { no, count }) = Split::of(&gguf.metadata)? {
                    return Err(GgufError::SplitAlone { no, count }.into());
                }
                let mut builder =
                    DecoderBuilder::new(gguf, &self.device.device, self.device.variants(false)[0])?;
                let text = TextSide::from_metadata(&gguf.metadata)?;
                let (tokens, rows) = (text.tokenizer.vocab_size(), builder.config().vocab);
                if tokens > rows {
                    let first = text.tokenizer.piece(rows as u32).unwrap_or_default();
                    return Err(LoadError::Model(ModelError::Unsupported(format!(
                        "the tokenizer has {tokens} tokens, and the model {rows}: token {rows} {first:?} is the first \
                         without a row in token_embd.weight; the file is damaged or badly converted"
                    ))));
                }
                builder.limit_vocab(tokens, text.tokenizer.absent());
                *begun = Some((builder, text));
            }
            (StreamEvent::Tensor(_, info, bytes), Some((builder, _))) => {
                builder.tensor(info, bytes)?;
            }
            (StreamEvent::Tensor(..), None) => {}
        }
        Ok(())
    }

    fn finish(self) -> Result<Model, LoadError> {
        let (builder, text) = self
            .begun
            .ok_or_else(|| ModelError::MissingTensor("token_embd.weight".to_owned()))?;
        Ok(Model {
            decoder: builder.finish()?,
            text,
            device: self.device,
        })
    }
}
