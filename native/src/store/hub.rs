//! The model hub as a source: one file over HTTP, resumed from the part that is already there.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::Path,
    thread,
    time::{Duration, SystemTime},
};

use ureq::{
    Body,
    http::{Response, StatusCode, header},
};
use url::Url;

use super::{
    Callback, Phase, Progress, StoreError,
    error::Failed,
    reach::{Reach, Unreached, retry_after},
};

const CHUNK: usize = 128 * 1024;

/// A server that asks for a longer pause is left alone until the next pull.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Why one request did not end with what was asked for.
pub(super) enum Trouble {
    /// Worth another request, after this pause at least: the part keeps what has come.
    Again(String, Duration),
    /// Not worth one.
    Final(Failed),
}

impl From<StoreError> for Trouble {
    fn from(e: StoreError) -> Self {
        Self::Final(e.into())
    }
}

impl From<Unreached> for Trouble {
    fn from(unreached: Unreached) -> Self {
        match unreached {
            Unreached::Store(error) => error.into(),
            Unreached::Server { why, again: true } => again(why),
            Unreached::Server { why, .. } => Self::Final(Failed::Source(why)),
        }
    }
}

fn again(why: impl Into<String>) -> Trouble {
    Trouble::Again(why.into(), Duration::ZERO)
}

/// What an answer means that is none: whether, and when, to ask again.
pub(super) fn judge<B>(response: &Response<B>, of: &str) -> Result<(), Trouble> {
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        return Err(Trouble::Final(Failed::Refused(status.as_u16())));
    }
    if status != StatusCode::TOO_MANY_REQUESTS && !status.is_server_error() {
        return refuse(format!("the server answers {status} for {of}"));
    }
    let pause = text(response, header::RETRY_AFTER);
    let pause = pause.and_then(|pause| retry_after(pause, SystemTime::now()));
    match pause.unwrap_or_default() {
        long if long > LONGEST_PAUSE => refuse(format!(
            "the server answers {status} and asks to be left alone for {} s: try again then",
            long.as_secs()
        )),
        pause => Err(Trouble::Again(
            format!("the server answers {status}"),
            pause,
        )),
    }
}

/// Whether a body that begins so is no model's, but what is often sent in place of one.
pub(super) fn impostor(start: &[u8]) -> Option<&'static str> {
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    let start = start.trim_ascii_start();
    let begins = |with: &str| {
        start
            .get(..with.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()))
    };
    if begins("<!doctype html") || begins("<html") {
        Some("a web page (a login page or a proxy in between?)")
    } else if begins("version https://git-lfs.github.com/spec/") {
        Some("a Git LFS pointer, which only names the file")
    } else {
        None
    }
}

fn refuse<T>(why: String) -> Result<T, Trouble> {
    Err(Trouble::Final(Failed::Source(why)))
}

/// A file on the hub on its way into `part`.
pub(super) struct Download<'a> {
    reach: &'a Reach<'a>,
    /// Bytes of the whole file.
    want: u64,
    label: &'a str,
    part: &'a Path,
    url: Url,
    /// The strong ETag of the bytes received in this pull, for `If-Range`.
    etag: Option<String>,
    /// Whether this pull has received any bytes yet.
    received: bool,
}

impl<'a> Download<'a> {
    /// A download of `want` bytes from `url`, an address of the hub.
    pub(super) fn new(
        reach: &'a Reach<'a>,
        url: Url,
        want: u64,
        label: &'a str,
        part: &'a Path,
    ) -> Self {
        Self {
            reach,
            want,
            label,
            part,
            url,
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
            let (why, asked) = match self.request(progress) {
                Ok(()) => return Ok(()),
                Err(Trouble::Final(failed)) => return Err(failed),
                Err(Trouble::Again(why, asked)) => (why, asked),
            };
            let have = self.have()?;
            barren = if have > best { 1 } else { barren + 1 };
            best = best.max(have);
            if barren >= self.reach.remote.attempts {
                return Err(Failed::Source(format!(
                    "{why}; {have} of {} bytes are kept for the next pull",
                    self.want
                )));
            }
            let pause = self.reach.remote.retry_pause * 2_u32.saturating_pow(barren - 1);
            let pause = pause.max(asked);
            progress(Progress::Notice(&match asked.as_secs() {
                0 => format!("{why}; trying again"),
                _ => format!("{why}; trying again in {} s, as it asks", pause.as_secs()),
            }));
            thread::sleep(pause);
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

    /// Drops the part, for this reason, to start over.
    fn afresh<T>(&self, why: &str) -> Result<T, Trouble> {
        self.drop_part()?;
        Err(again(format!("{why}, so it is dropped")))
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
        let mut response = match self.reach.get(&self.url, &headers) {
            Err(Unreached::Server { why, .. }) if self.received => return Err(again(why)),
            answer => answer?,
        };
        have = self.accept(&mut response, have)?;
        self.etag = text(&response, header::ETAG)
            .filter(|etag| !etag.starts_with("W/"))
            .map(str::to_owned);
        self.receive(response, have, progress)
    }

    /// Judges the answer's head; returns the offset at which its body belongs.
    fn accept(&self, response: &mut Response<Body>, have: u64) -> Result<u64, Trouble> {
        let want = self.want;
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE && have > 0 {
            return self.afresh("the server cannot go on from the part that is here");
        }
        judge(response, &super::address::shown(&self.url))?;
        if !matches!(
            response.status(),
            StatusCode::OK | StatusCode::PARTIAL_CONTENT
        ) {
            return refuse(format!("the server answers {}", response.status()));
        }
        let is_html = |kind: &str| {
            kind.trim_start()
                .to_ascii_lowercase()
                .starts_with("text/html")
        };
        if text(response, header::CONTENT_TYPE).is_some_and(is_html) {
            return refuse(
                "the server sends a web page instead of the model (a login page or a proxy in between?)".into(),
            );
        }
        if let Some(coding) = text(response, header::CONTENT_ENCODING)
            && !coding.eq_ignore_ascii_case("identity")
        {
            return refuse(format!(
                "the server sends the file encoded as `{}`, which nobody asked for",
                coding.escape_debug()
            ));
        }
        if response.status() == StatusCode::OK {
            return match text(response, header::CONTENT_LENGTH).and_then(|n| n.parse::<u64>().ok())
            {
                Some(length) if length != want => {
                    let mut start = Vec::new();
                    // What can't be read says nothing.
                    let body = response.body_mut().as_reader();
                    let _ = body.take(512).read_to_end(&mut start);
                    let is =
                        impostor(&start).map_or(String::new(), |what| format!(": it is {what}"));
                    refuse(format!(
                        "the server offers a file of {length} bytes, but the model has {want}{is}"
                    ))
                }
                _ => Ok(0),
            };
        }
        let changed = |tag: &str| self.etag.as_deref().is_some_and(|own| own != tag);
        if text(response, header::ETAG).is_some_and(changed) {
            return self.afresh("another file lies at the address than before");
        }
        let range = text(response, header::CONTENT_RANGE).unwrap_or_default();
        let total = match content_range(range) {
            Some((start, total)) if start == have => total,
            _ if have > 0 => {
                return self.afresh(&format!(
                    "the server answers with the range `{}`, asked from byte {have}",
                    range.escape_debug()
                ));
            }
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
        response: Response<Body>,
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
                    return Err(again(format!(
                        "the server stopped after {have} of {want} bytes"
                    )));
                }
                Ok(n) => n,
                // All bytes are here: how the connection ends does not matter.
                Err(_) if have == want => return Ok(()),
                Err(e) => {
                    return Err(again(format!(
                        "the connection broke after {have} of {want} bytes ({e})"
                    )));
                }
            };
            if let Some(what) = impostor(&chunk[..n]).filter(|_| have == 0) {
                self.drop_part()?;
                return refuse(format!("in place of the model the server sends {what}"));
            }
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
