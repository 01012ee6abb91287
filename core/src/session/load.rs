//! A model file becomes a session: from a reader, or from bytes as they come.

use super::{Error, Session};
use crate::device::OpenDevice;
use crate::formats::gguf::{Gguf, GgufError, GgufStream, Metadata, StreamEvent};
use crate::model::{Decoder, DecoderBuilder, KvType, ModelError};
use crate::text::{ChatTemplate, Tokenizer, TokenizerSpec};
use std::io::{Read, Seek};

/// What the file says of text.
#[derive(Debug)]
pub(super) struct TextSide {
    pub name: Option<String>,
    pub tokenizer: Tokenizer,
    pub template: Option<ChatTemplate>,
}

/// Loads a model from bytes that come in file order, in chunks of any size.
#[derive(Debug)]
pub struct Loader {
    stream: GgufStream,
    parts: Parts,
}

/// A model on its way from a file to a device.
#[derive(Debug)]
pub(super) struct Parts {
    device: OpenDevice,
    begun: Option<(DecoderBuilder, TextSide)>,
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
    /// [`Error`] as soon as the bytes show that the file can't be loaded.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), Error> {
        let parts = &mut self.parts;
        self.stream.push(chunk, &mut |event| parts.take(event))
    }

    /// The session, once the whole file has been pushed.
    ///
    /// # Errors
    ///
    /// [`Error::Gguf`] where the file ended early.
    pub fn finish(self) -> Result<Session, Error> {
        self.stream.finish()?;
        Session::new(self.parts)
    }
}

impl Parts {
    pub fn new(device: &OpenDevice) -> Self {
        Self {
            device: device.clone(),
            begun: None,
        }
    }

    /// Takes all tensors from a reader, one at a time.
    pub fn read_tensors<R: Read + Seek>(
        &mut self,
        gguf: &Gguf,
        reader: &mut R,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), Error> {
        let total = gguf.tensors.iter().map(|info| info.bytes).sum();
        let mut done = 0;
        for info in &gguf.tensors {
            let bytes = gguf.read_tensor(reader, info)?;
            self.take(StreamEvent::Tensor(gguf, info, &bytes))?;
            done += info.bytes;
            progress(done, total);
        }
        Ok(())
    }

    pub fn take(&mut self, event: StreamEvent<'_>) -> Result<(), Error> {
        match (event, &mut self.begun) {
            (StreamEvent::Header(gguf), begun) => {
                let builder =
                    DecoderBuilder::new(gguf, &self.device.device, self.device.variants(false)[0])?;
                *begun = Some((builder, TextSide::from_metadata(&gguf.metadata)?));
            }
            (StreamEvent::Tensor(_, info, bytes), Some((builder, _))) => {
                builder.tensor(info, bytes)?;
            }
            (StreamEvent::Tensor(..), None) => {}
        }
        Ok(())
    }

    pub fn finish(self) -> Result<(Decoder, TextSide, OpenDevice, KvType), Error> {
        let (builder, text) = self
            .begun
            .ok_or_else(|| ModelError::MissingTensor("token_embd.weight".to_owned()))?;
        let decoder = builder.finish()?;
        let vocab = decoder.config().vocab;
        if text.tokenizer.vocab_size() > vocab {
            return Err(Error::Model(ModelError::Unsupported(format!(
                "the tokenizer has {} tokens, and the model {vocab}",
                text.tokenizer.vocab_size()
            ))));
        }
        // The CPU backend gains nothing from packing, and pays for it.
        let kv = match self.device.info.kind {
            "gpu" => KvType::F16,
            _ => KvType::F32,
        };
        Ok((decoder, text, self.device, kv))
    }
}

impl TextSide {
    fn from_metadata(meta: &Metadata) -> Result<Self, Error> {
        let tokenizer = Tokenizer::new(tokenizer_spec(meta)?)?;
        let template = match meta.opt_str("tokenizer.chat_template")? {
            None => None,
            Some(source) => {
                let token = |key: &str| -> Result<String, Error> {
                    let id = meta.opt_u32(key)?;
                    Ok(id.and_then(|id| tokenizer.piece(id)).unwrap_or_default())
                };
                let bos = token("tokenizer.ggml.bos_token_id")?;
                let eos = token("tokenizer.ggml.eos_token_id")?;
                Some(ChatTemplate::new(source, &bos, &eos)?)
            }
        };
        Ok(Self {
            name: meta.opt_str("general.name")?.map(str::to_owned),
            tokenizer,
            template,
        })
    }
}

/// What a GGUF file says of its tokenizer.
///
/// # Errors
///
/// [`GgufError`] where a key is missing or has the wrong type.
pub fn tokenizer_spec(meta: &Metadata) -> Result<TokenizerSpec, GgufError> {
    Ok(TokenizerSpec {
        model: meta.str("tokenizer.ggml.model")?.to_owned(),
        pre: meta.opt_str("tokenizer.ggml.pre")?.map(str::to_owned),
        tokens: meta.strings("tokenizer.ggml.tokens")?.to_vec(),
        merges: match meta.get("tokenizer.ggml.merges") {
            Some(_) => meta.strings("tokenizer.ggml.merges")?.to_vec(),
            None => Vec::new(),
        },
        token_types: meta
            .opt_i32s("tokenizer.ggml.token_type")?
            .map(<[i32]>::to_vec),
        bos: meta.opt_u32("tokenizer.ggml.bos_token_id")?,
        eos: meta.opt_u32("tokenizer.ggml.eos_token_id")?,
        eot: meta.opt_u32("tokenizer.ggml.eot_token_id")?,
        add_bos: meta
            .opt_bool("tokenizer.ggml.add_bos_token")?
            .unwrap_or(false),
    })
}

impl Session {
    fn new(parts: Parts) -> Result<Self, Error> {
        let (decoder, text, device, kv) = parts.finish()?;
        match decoder.config().traits.classes {
            0 => {}
            classes => return Err(ModelError::Classifier(classes).into()),
        }
        Ok(Self {
            decoder,
            text,
            device,
            companions: Vec::new(),
            kv,
        })
    }

    /// Loads a GGUF file from a reader, one tensor at a time. `progress` is told the bytes of
    /// tensors done and in all.
    ///
    /// # Errors
    ///
    /// [`Error`] where the file can't be read or holds no model we can run.
    pub fn load<R: Read + Seek>(
        reader: &mut R,
        device: &OpenDevice,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self, Error> {
        let gguf = Gguf::read(reader)?;
        let mut parts = Parts::new(device);
        parts.take(StreamEvent::Header(&gguf))?;
        parts.read_tensors(&gguf, reader, progress)?;
        Self::new(parts)
    }
}
