//! The model hub as a source: one file over HTTP, resumed from the part that is already there.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::Path,
    thread,
};

use ureq::{
    Agent,
    http::{Response, StatusCode, header},
};

use super::{Callback, Phase, Progress, Remote, StoreError, error::Failed};

const CHUNK: usize = 128 * 1024;

/// Why one request did not end with the whole file.
enum Trouble {
    /// Worth another request: the part keeps what has come.
    Again(String),
    /// Not worth one.
    Final(Failed),
}

impl From<StoreError> for Trouble {
    fn from(e: StoreError) -> Self {
        Self::Final(e.into())
    }
}

fn refuse<T>(why: String) -> Result<T, Trouble> {
    Err(Trouble::Final(Failed::Source(why)))
}

/// A file on the hub on its way into `part`.
pub(super) struct Download<'a> {
    pub remote: &'a Remote,
    /// Bytes of the whole file.
    want: u64,
    pub label: &'a str,
    pub part: &'a Path,
    url: String,
    agent: Agent,
    /// The strong ETag of the bytes received in this pull, for `If-Range`.
    etag: Option<String>,
    /// Whether this pull has received any bytes yet.
    received: bool,
}

impl<'a> Download<'a> {
    /// A download of `want` bytes from `url`, an address of the hub.
    pub(super) fn new(
        remote: &'a Remote,
        url: String,
        want: u64,
        label: &'a str,
        part: &'a Path,
    ) -> Self {
        Self {
            remote,
            want,
            label,
            part,
            url,
            agent: remote.agent(),
            etag: None,
            received: false,
        }
    }

    /// Brings `part` to the full size of the file (its hash is the caller's to check). Requests are repeated, each
    /// from where the last one stopped, until several in a row bring nothing new.
    pub(super) fn run(mut self, progress: Callback<'_>) -> Result<(), Failed> {
        let mut best = self.have()?;
        let mut barren = 0;
        loop {
            let why = match self.request(progress) {
                Ok(()) => return Ok(()),
                Err(Trouble::Final(failed)) => return Err(failed),
                Err(Trouble::Again(why)) => why,
            };
            let have = self.have()?;
            barren = if have > best { 1 } else { barren + 1 };
            best = best.max(have);
            if barren >= self.remote.attempts {
                return Err(Failed::Source(format!(
                    "{why}; {have} of {} bytes are kept for the next pull",
                    self.want
                )));
            }
            progress(Progress::Notice(&format!("{why}; trying again")));
            thread::sleep(self.remote.retry_pause * 2_u32.saturating_pow(barren - 1));
        }
    }

    /// Size of the part; a part that is too long is dropped.
    fn have(&self) -> Result<u64, StoreError> {
        match fs::metadata(self.part) {
            Ok(meta) if meta.len() <= self.want => Ok(meta.len()),
            Ok(_) => self.drop_part().map(|()| 0),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(e) => Err(StoreError::io("read", self.part)(e)),
        }
    }

    fn drop_part(&self) -> Result<(), StoreError> {
        fs::remove_file(self.part).map_err(StoreError::io("remove", self.part))
    }

    /// One request for what is missing.
    fn request(&mut self, progress: Callback<'_>) -> Result<(), Trouble> {
        let mut have = self.have()?;
        let want = self.want;
        if have == want {
            return Ok(());
        }
        progress(Progress::Step {
            phase: Phase::Connecting,
            source: self.label,
            bytes: have,
            total: want,
        });
        let range = format!("bytes={have}-");
        let mut headers = Vec::new();
        if have > 0 {
            headers.push((header::RANGE, range.as_str()));
            // A part from an earlier pull goes without a validator: its size and the hash of the whole decide.
            if let Some(etag) = &self.etag {
                headers.push((header::IF_RANGE, etag));
            }
        }
        let response = match self.remote.call(&self.agent, &self.url, &headers) {
            Ok(response) => response,
            Err(e) if self.received => return Err(Trouble::Again(e.to_string())),
            Err(e) => return refuse(format!("{}: {e}", self.remote.hub)),
        };
        have = self.accept(&response, have)?;
        self.etag = text(&response, header::ETAG)
            .filter(|etag| !etag.starts_with("W/"))
            .map(str::to_owned);
        self.receive(response, have, progress)
    }

    /// Judges the answer's head; returns the offset at which its body belongs.
    fn accept<B>(&self, response: &Response<B>, have: u64) -> Result<u64, Trouble> {
        let want = self.want;
        match response.status() {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => {}
            StatusCode::RANGE_NOT_SATISFIABLE if have > 0 => {
                self.drop_part()?;
                return Err(Trouble::Again(
                    "the server cannot go on from the part that is here, so it is dropped".into(),
                ));
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                return Err(Trouble::Final(Failed::Refused(response.status().as_u16())));
            }
            status if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() => {
                return Err(Trouble::Again(format!("the server answers {status}")));
            }
            status => return refuse(format!("the server answers {status} for {}", self.url)),
        }
        if text(response, header::CONTENT_TYPE).is_some_and(|kind| kind.starts_with("text/html")) {
            return refuse(
                "the server sends a web page instead of the model (a login page or a proxy in between?)".into(),
            );
        }
        if response.status() == StatusCode::OK {
            return match text(response, header::CONTENT_LENGTH).and_then(|n| n.parse::<u64>().ok())
            {
                Some(length) if length != want => refuse(format!(
                    "the server offers a file of {length} bytes, but the model has {want}"
                )),
                _ => Ok(0),
            };
        }
        let range = text(response, header::CONTENT_RANGE).unwrap_or_default();
        let total = match content_range(range) {
            Some((start, total)) if start == have => total,
            _ => {
                return refuse(format!(
                    "the server answers with the range `{range}`, asked from byte {have}"
                ));
            }
        };
        match total {
            Some(total) if total != want => refuse(format!(
                "the server offers a file of {total} bytes, but the model has {want}"
            )),
            _ => Ok(have),
        }
    }

    /// Writes the body to the part from offset `have` on.
    fn receive(
        &mut self,
        response: Response<ureq::Body>,
        mut have: u64,
        progress: Callback<'_>,
    ) -> Result<(), Trouble> {
        let want = self.want;
        let mut part = File::options()
            .append(true)
            .create(true)
            .open(self.part)
            .map_err(StoreError::io("open", self.part))?;
        // A server that ignores the range starts from the beginning, and so does the part.
        let here = part.metadata().map_err(StoreError::io("read", self.part))?;
        if here.len() > have {
            part.set_len(have)
                .map_err(StoreError::io("shorten", self.part))?;
        }
        let mut body = response.into_body().into_reader();
        let mut chunk = vec![0; CHUNK];
        loop {
            progress(Progress::Step {
                phase: Phase::Downloading,
                source: self.label,
                bytes: have,
                total: want,
            });
            let n = match body.read(&mut chunk) {
                Ok(0) if have == want => return Ok(()),
                Ok(0) => {
                    return Err(Trouble::Again(format!(
                        "the server stopped after {have} of {want} bytes"
                    )));
                }
                Ok(n) => n,
                // All bytes are here: how the connection ends does not matter.
                Err(_) if have == want => return Ok(()),
                Err(e) => {
                    return Err(Trouble::Again(format!(
                        "the connection broke after {have} of {want} bytes ({e})"
                    )));
                }
            };
            if have + n as u64 > want {
                self.drop_part()?;
                return refuse(format!(
                    "the server sends more than the model's {want} bytes"
                ));
            }
            part.write_all(&chunk[..n])
                .map_err(|e| StoreError::write(self.part, have, e))?;
            have += n as u64;
            self.received = true;
        }
    }
}

fn text<B>(response: &Response<B>, name: header::HeaderName) -> Option<&str> {
    response.headers().get(name)?.to_str().ok()
}

/// Start and, where the server says it, total size of `bytes START-END/TOTAL` (RFC 9110, section 14.4).
fn content_range(value: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    let total = match total {
        "*" => None,
        total => Some(total.parse().ok()?),
    };
    Some((start.parse().ok()?, total))
}
