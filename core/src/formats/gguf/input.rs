use super::super::foreign::BEGIN;
use super::error::GgufError;
use super::header::MAGIC;
use super::limits::MAX_HEADER_BYTES;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

/// The header's bytes as they come. The parser awaits them on one clone; [`Input::extend`] on
/// another brings them.
#[derive(Debug, Clone)]
pub(super) struct Input(Arc<Mutex<Buffer>>);

#[derive(Debug)]
struct Buffer {
    /// What has come and was not dropped yet.
    bytes: Vec<u8>,
    /// How many of `bytes` the parser has taken.
    taken: usize,
    /// Where the next byte to take lies in the file.
    position: u64,
    /// The file's length, where it is known.
    len: Option<u64>,
}

impl Input {
    pub(super) fn new(len: Option<u64>) -> Self {
        Self(Arc::new(Mutex::new(Buffer {
            bytes: Vec::new(),
            taken: 0,
            position: 0,
            len,
        })))
    }

    pub(super) fn extend(&self, chunk: &[u8]) {
        let mut buffer = self.buffer();
        let taken = std::mem::take(&mut buffer.taken);
        buffer.bytes.drain(..taken);
        buffer.bytes.extend_from_slice(chunk);
    }

    /// How many bytes have come that the parser has not taken.
    pub(super) fn available(&self) -> usize {
        let buffer = self.buffer();
        buffer.bytes.len() - buffer.taken
    }

    /// Where the next byte to take lies in the file.
    pub(super) fn position(&self) -> u64 {
        self.buffer().position
    }

    /// The file's length, where it is known.
    pub(super) fn len(&self) -> Option<u64> {
        self.buffer().len
    }

    /// An error where `wanted` more bytes can't come: past the file's end, or past a header's
    /// largest size.
    pub(super) fn check(&self, place: &str, wanted: u64) -> Result<(), GgufError> {
        let Buffer { position, len, .. } = *self.buffer();
        let left = len.map_or(u64::MAX, |len| len.saturating_sub(position));
        if wanted > left {
            return Err(GgufError::BeyondEnd {
                place: place.to_owned(),
                offset: position,
                wanted,
                left,
            });
        }
        let header = position.saturating_add(wanted);
        check_limit(place, "a header", header, MAX_HEADER_BYTES)
    }

    /// The file's first bytes, none of which is taken: of a file of another kind [`BEGIN`], or all that it has; where its
    /// length is unknown, those that came first.
    pub(super) async fn begin(&self) -> Vec<u8> {
        let mut begin = Vec::new();
        poll_fn(|_| {
            let buffer = self.buffer();
            let came = buffer.bytes.len() as u64;
            let wanted = buffer.len.unwrap_or(4).min(BEGIN as u64);
            // A GGUF file's header is not held up.
            if came < wanted && !(came >= 4 && buffer.bytes.starts_with(&MAGIC)) {
                return Poll::Pending;
            }
            begin.extend(buffer.bytes.iter().take(BEGIN));
            Poll::Ready(())
        })
        .await;
        begin
    }

    /// The next `wanted` bytes. Memory is taken only for those that have come.
    pub(super) async fn bytes(&self, place: &str, wanted: u64) -> Result<Vec<u8>, GgufError> {
        self.check(place, wanted)?;
        let mut bytes = Vec::new();
        poll_fn(|_| {
            let mut buffer = self.buffer();
            let begin = buffer.taken;
            let missing = wanted - bytes.len() as u64;
            let end = (buffer.bytes.len() as u64).min(begin as u64 + missing) as usize;
            bytes.extend_from_slice(&buffer.bytes[begin..end]);
            buffer.taken = end;
            buffer.position += (end - begin) as u64;
            match bytes.len() as u64 == wanted {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
        Ok(bytes)
    }

    /// The next `N` bytes.
    pub(super) async fn array<const N: usize>(&self, place: &str) -> Result<[u8; N], GgufError> {
        let bytes = self.bytes(place, N as u64).await?;
        let mut array = [0; N];
        array.copy_from_slice(&bytes);
        Ok(array)
    }

    pub(super) async fn u32(&self, place: &str) -> Result<u32, GgufError> {
        Ok(u32::from_le_bytes(self.array(place).await?))
    }

    pub(super) async fn u64(&self, place: &str) -> Result<u64, GgufError> {
        Ok(u64::from_le_bytes(self.array(place).await?))
    }

    /// A string: its length in bytes, at most `max`, and its UTF-8; or bytes that are none.
    pub(super) async fn string(
        &self,
        place: &str,
        max: u64,
    ) -> Result<Result<String, Vec<u8>>, GgufError> {
        let len = self.u64(place).await?;
        check_limit(place, "a string's length", len, max)?;
        let bytes = self.bytes(place, len).await?;
        Ok(String::from_utf8(bytes).map_err(|error| error.into_bytes()))
    }

    /// No panic can leave the buffer half changed, so a poisoned lock is as good as another.
    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An error where `got` is past `max`.
pub(super) fn check_limit(
    place: &str,
    what: &'static str,
    got: u64,
    max: u64,
) -> Result<(), GgufError> {
    if got <= max {
        return Ok(());
    }
    Err(GgufError::Limit {
        place: place.to_owned(),
        what,
        got,
        max,
    })
}
