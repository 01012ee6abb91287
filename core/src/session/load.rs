//! A model file becomes a session: from a reader, or from bytes as they come.

use super::{Error, Session, SourceLoader};
use crate::device::OpenDevice;
use crate::formats::gguf::{GgufError, GgufFiles, GgufStream, Metadata, Split, StreamEvent};
use crate::formats::source::Source;
use crate::model::{Decoder, DecoderBuilder, KvType, ModelError};
use crate::text::{Chat, Tokenizer, TokenizerSpec};
use std::io::{Read, Seek};

/// What the file says of text.
#[derive(Debug)]
pub(super) struct TextSide {
    pub name: Option<String>,
    pub tokenizer: Tokenizer,
    pub template: Option<Chat>,
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

    pub fn take(&mut self, event: StreamEvent<'_>) -> Result<(), Error> {
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
                    return Err(Error::Model(ModelError::Unsupported(format!(
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

    fn finish(self) -> Result<(Decoder, TextSide, OpenDevice, KvType), Error> {
        let (builder, text) = self
            .begun
            .ok_or_else(|| ModelError::MissingTensor("token_embd.weight".to_owned()))?;
        let decoder = builder.finish()?;
        let kv = KvType::fitting(self.device.info.is_gpu());
        Ok((decoder, text, self.device, kv))
    }
}

impl TextSide {
    fn from_metadata(meta: &Metadata) -> Result<Self, Error> {
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

/// What a GGUF file says of its tokenizer: in `tokenizer.ggml.*`, or, where the tokens or the
/// pre-tokenizer's name are not there or unknown, in the tokenizer.json that it carries whole as
/// `tokenizer.huggingface.json`. What is missing has llama.cpp's defaults (llama-vocab.cpp).
///
/// # Errors
///
/// [`Error::Gguf`] where a key is missing or has the wrong type, [`Error::Text`] where the
/// tokenizer.json can't be used.
pub fn tokenizer_spec(meta: &Metadata) -> Result<TokenizerSpec, Error> {
    let json = meta.opt_str("tokenizer.huggingface.json")?;
    let tokens = meta.opt_strings("tokenizer.ggml.tokens")?;
    let id = |name: &str| meta.opt_id(&format!("tokenizer.ggml.{name}_token_id"));
    let mut spec = match (json, tokens) {
        (Some(json), None) => TokenizerSpec::from_json(json, None)?,
        _ => listed(meta, json)?,
    };
    spec.bos = id("bos")?.or(spec.bos);
    // Some files have all that end an answer in the one key.
    let ends = meta.opt_ids("tokenizer.ggml.eos_token_id")?;
    spec.eos = ends.first().copied().or(spec.eos);
    spec.ends = ends;
    spec.ends
        .extend(meta.opt_ids("tokenizer.ggml.eos_token_ids")?);
    (spec.eot, spec.eom) = (id("eot")?, id("eom")?);
    spec.unknown = id("unknown")?.or(spec.unknown);
    if let Some(add_bos) = meta.opt_bool("tokenizer.ggml.add_bos_token")? {
        spec.add_bos = add_bos;
    }
    if spec.flags.is_empty() && strips_like_phi3(meta) {
        spec.strip_like_phi3();
    }
    Ok(spec)
}

/// The tokenizer that `tokenizer.ggml.*` lists, its ids being llama.cpp's defaults.
fn listed(meta: &Metadata, json: Option<&str>) -> Result<TokenizerSpec, Error> {
    let model = meta.str("tokenizer.ggml.model")?.to_owned();
    let pre = meta.opt_str("tokenizer.ggml.pre")?.map(str::to_owned);
    let spaces = model == "llama";
    let known = spaces || pre.as_deref().is_some_and(TokenizerSpec::knows_pre);
    Ok(TokenizerSpec {
        tokens: meta.strings("tokenizer.ggml.tokens")?.to_vec(),
        scores: meta.opt_f32s("tokenizer.ggml.scores")?,
        merges: meta
            .opt_strings("tokenizer.ggml.merges")?
            .unwrap_or_default()
            .to_vec(),
        token_types: meta.opt_i32s("tokenizer.ggml.token_type")?,
        bos: spaces.then_some(1),
        eos: spaces.then_some(2),
        unknown: spaces.then_some(0),
        add_bos: spaces || pre.as_deref().is_some_and(TokenizerSpec::pre_adds_bos),
        add_space_prefix: meta
            .opt_bool("tokenizer.ggml.add_space_prefix")?
            .unwrap_or(spaces),
        // What a file carries beside its own words may be broken.
        flags: json
            .and_then(|json| TokenizerSpec::flags_of_json(json).ok())
            .unwrap_or_default(),
        json: json.filter(|_| !known || pre.is_none()).map(str::to_owned),
        model,
        pre,
        ..TokenizerSpec::default()
    })
}

/// Whether the model is of the one family whose control tokens take the spaces behind them, and whose GGUF files can't
/// say it (llama-vocab.cpp goes by the name, too).
fn strips_like_phi3(meta: &Metadata) -> bool {
    let name = meta.display("general.name").unwrap_or_default();
    let name = name.to_lowercase().replace([' ', '_'], "-");
    ["phi-3", "phi3"].iter().any(|phi| name.contains(phi))
}

impl Session {
    pub(super) fn new(parts: Parts) -> Result<Self, Error> {
        let session = Self::with_any_head(parts)?;
        match session.decoder.config().traits.classes {
            0 => Ok(session),
            classes => Err(ModelError::Classifier(classes).into()),
        }
    }

    pub(super) fn with_any_head(parts: Parts) -> Result<Self, Error> {
        let (decoder, text, device, kv) = parts.finish()?;
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
        Self::load_source(&mut GgufFiles::one(reader)?, device, progress)
    }

    /// Loads a model from wherever it lies, one tensor at a time, as [`Session::load`] does from a file.
    ///
    /// # Errors
    ///
    /// [`Error`] where it can't be read or is no model we can run.
    pub fn load_source(
        source: &mut dyn Source,
        device: &OpenDevice,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self, Error> {
        Self::new(SourceLoader::new(source, device)?.read_all(progress)?)
    }
}
