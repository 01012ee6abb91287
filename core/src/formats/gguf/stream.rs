use super::error::GgufError;
use super::header::HeaderParser;
use super::layout::file_order;
use super::{Gguf, READ_BYTES, TensorInfo};

/// Reads a GGUF file whose bytes come in chunks of any size, in file order: the browser's way.
///
/// It holds the header, and never more than one tensor's bytes; it takes no more memory than
/// bytes have come, whatever the header claims.
#[derive(Debug)]
pub struct GgufStream {
    state: State,
}

#[derive(Debug)]
enum State {
    Header(HeaderParser),
    Tensors(Tensors),
    /// An error was returned.
    Failed,
}

#[derive(Debug)]
struct Tensors {
    gguf: Gguf,
    /// Indices of the tensors that have not come whole, the next one last.
    pending: Vec<usize>,
    /// Where the next byte lies in the file.
    position: u64,
    /// What has come of the next tensor.
    buffer: Vec<u8>,
}

/// What a [`GgufStream`] has read.
#[derive(Debug, Clone, Copy)]
pub enum StreamEvent<'a> {
    /// The header: always the first event, and once only.
    Header(&'a Gguf),
    /// The next tensor in the order of the file's bytes, and its bytes.
    Tensor(&'a Gguf, &'a TensorInfo, &'a [u8]),
}

impl GgufStream {
    /// A stream of a file of `total_len` bytes. Where the length is known, a tensor that lies
    /// outside the file is found with the header, and not at the end.
    #[must_use]
    pub fn new(total_len: Option<u64>) -> Self {
        Self {
            state: State::Header(HeaderParser::new(total_len)),
        }
    }

    /// Takes the file's next bytes. Calls `on` with the header once its last byte has come, and
    /// with each tensor once its last byte has. Bytes after the last tensor are ignored.
    ///
    /// # Errors
    ///
    /// What `on` returns, or a [`GgufError`] as soon as the bytes show that this is not a GGUF
    /// file that we support. After an error every further call fails.
    pub fn push<E: From<GgufError>>(
        &mut self,
        chunk: &[u8],
        on: &mut dyn FnMut(StreamEvent<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.state = match std::mem::replace(&mut self.state, State::Failed) {
            State::Header(parser) => header(parser, chunk, on)?,
            State::Tensors(mut tensors) => {
                tensors.push(chunk, on)?;
                State::Tensors(tensors)
            }
            State::Failed => return Err(GgufError::StreamFailed.into()),
        };
        Ok(())
    }

    /// Says that the file has ended.
    ///
    /// # Errors
    ///
    /// [`GgufError::EndedEarly`] where the header or a tensor has not come whole, and
    /// [`GgufError::StreamFailed`] after an error of [`GgufStream::push`].
    pub fn finish(self) -> Result<(), GgufError> {
        let (len, place) = match self.state {
            State::Header(parser) if parser.received() == 0 => return Err(GgufError::empty()),
            State::Header(parser) => (parser.received(), "the header".to_owned()),
            State::Tensors(tensors) => match tensors.pending.last() {
                Some(index) => {
                    let name = &tensors.gguf.tensors[*index].name;
                    (tensors.position, format!("tensor {name}"))
                }
                None => return Ok(()),
            },
            State::Failed => return Err(GgufError::StreamFailed),
        };
        Err(GgufError::EndedEarly { len, place })
    }
}

/// Feeds the header's parser, in pieces since it copies what it is given; the rest of the chunk
/// belongs to the tensors.
fn header<E: From<GgufError>>(
    mut parser: HeaderParser,
    chunk: &[u8],
    on: &mut dyn FnMut(StreamEvent<'_>) -> Result<(), E>,
) -> Result<State, E> {
    let mut fed = 0;
    for piece in chunk.chunks(READ_BYTES) {
        fed += piece.len();
        let Some(header) = parser.push(piece) else {
            continue;
        };
        let gguf = header?;
        on(StreamEvent::Header(&gguf))?;
        let mut pending = file_order(&gguf.tensors);
        pending.reverse();
        let unread = parser.unread();
        let mut tensors = Tensors {
            gguf,
            pending,
            position: parser.received() - unread as u64,
            buffer: Vec::new(),
        };
        tensors.push(&chunk[fed - unread..], on)?;
        return Ok(State::Tensors(tensors));
    }
    Ok(State::Header(parser))
}

impl Tensors {
    fn push<E>(
        &mut self,
        mut chunk: &[u8],
        on: &mut dyn FnMut(StreamEvent<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some(index) = self.pending.last() {
            let info = &self.gguf.tensors[*index];
            let padding = split(&mut chunk, info.offset.saturating_sub(self.position));
            self.position += padding.len() as u64;
            let part = split(&mut chunk, info.end().saturating_sub(self.position));
            self.position += part.len() as u64;
            if self.position < info.end() {
                append(&mut self.buffer, part, info.bytes);
                return Ok(());
            }
            let bytes = if self.buffer.is_empty() {
                part
            } else {
                append(&mut self.buffer, part, info.bytes);
                &self.buffer
            };
            on(StreamEvent::Tensor(&self.gguf, info, bytes))?;
            self.buffer = Vec::new();
            self.pending.pop();
        }
        Ok(())
    }
}

/// Takes up to `count` bytes off the front of `chunk`.
fn split<'a>(chunk: &mut &'a [u8], count: u64) -> &'a [u8] {
    let count = (chunk.len() as u64).min(count) as usize;
    let (front, rest) = chunk.split_at(count);
    *chunk = rest;
    front
}

/// Appends to `buffer`, whose room doubles as it fills, and never passes `bytes`, the size of the
/// whole tensor.
fn append(buffer: &mut Vec<u8>, part: &[u8], bytes: u64) {
    let needed = buffer.len() + part.len();
    if needed > buffer.capacity() {
        let double = (buffer.capacity() as u64 * 2).min(bytes) as usize;
        buffer.reserve_exact(double.max(needed) - buffer.len());
    }
    buffer.extend_from_slice(part);
}
