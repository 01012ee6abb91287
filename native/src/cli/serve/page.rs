//! The page's files: those that were built into the program, or those of a folder, read when the server starts. Requests
//! reach nothing else.

use crate::cli::Usage;
use anyhow::{Context, anyhow};
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use std::collections::BTreeMap;
use std::fs;
use std::future::{Ready, ready};
use std::io::{self, Cursor, ErrorKind, SeekFrom};
use std::path::{Component, Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncRead, AsyncSeek, ReadBuf};
use tower_http::services::ServeDir;
use tower_http::services::fs::{Backend, File, Metadata};

mod embedded {
    include!(concat!(env!("OUT_DIR"), "/page.rs"));
}

const START: &str = "index.html";

/// What is larger is no page, but a folder that was named by mistake.
const MOST_BYTES: u64 = 1 << 30;

/// The page's files by their paths, with `/`.
#[derive(Clone)]
pub struct Page(Arc<BTreeMap<String, Content>>);

#[derive(Clone)]
struct Content {
    bytes: Bytes,
    changed: SystemTime,
}

impl Page {
    /// The page that was built into this program.
    pub fn embedded() -> anyhow::Result<Self> {
        let file = |&(name, bytes, seconds, nanos): &(&str, &'static [u8], u64, u32)| {
            let content = Content {
                bytes: Bytes::from_static(bytes),
                changed: UNIX_EPOCH + Duration::new(seconds, nanos),
            };
            (name.to_owned(), content)
        };
        let files: BTreeMap<_, _> = embedded::FILES.iter().map(file).collect();
        match files.contains_key(START) {
            true => Ok(Self(Arc::new(files))),
            false => Err(anyhow!(
                "this program was built without the page: `make web` builds both, and --page names a folder that holds it"
            )),
        }
    }

    /// The page in this folder, without hidden files and without links out of it.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        if !folder.join(START).is_file() {
            return Err(Usage(format!(
                "--page: {} holds no {START}; `make web` builds the page into www/dist",
                folder.display()
            ))
            .into());
        }
        let cannot = || format!("--page: cannot read {}", folder.display());
        let root = folder.canonicalize().with_context(cannot)?;
        let mut files = BTreeMap::new();
        let mut bytes = 0;
        let mut folders = vec![(root.clone(), String::new())];
        while let Some((path, prefix)) = folders.pop() {
            for entry in fs::read_dir(&path).with_context(cannot)? {
                let entry = entry.with_context(cannot)?;
                let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
                    continue;
                };
                if name.starts_with('.') {
                    continue;
                }
                if entry.file_type().with_context(cannot)?.is_dir() {
                    folders.push((entry.path(), format!("{prefix}{name}/")));
                    continue;
                }
                // What leads nowhere, out of the page, or to no plain file, is not the page's.
                let Ok(path) = entry.path().canonicalize() else {
                    continue;
                };
                let Some(about) = fs::metadata(&path).ok().filter(fs::Metadata::is_file) else {
                    continue;
                };
                if !path.starts_with(&root) {
                    continue;
                }
                bytes += about.len();
                if bytes > MOST_BYTES {
                    return Err(Usage(format!(
                        "--page: {} holds more than a page ever does",
                        folder.display()
                    ))
                    .into());
                }
                let content = Content {
                    bytes: fs::read(&path).with_context(cannot)?.into(),
                    changed: in_bounds(about.modified().unwrap_or(UNIX_EPOCH)),
                };
                files.insert(format!("{prefix}{name}"), content);
            }
        }
        Ok(Self(Arc::new(files)))
    }

    /// A file of the page, or the part of it that was asked for.
    pub async fn answer(self, request: Request) -> Response {
        let files = ServeDir::with_backend("", self).redirect_to_trailing_slash(false);
        let mut files = files.precompressed_br().precompressed_gzip();
        match files.try_call(request).await {
            Ok(response) if response.status() != StatusCode::NOT_FOUND => response.into_response(),
            _ => (StatusCode::NOT_FOUND, "Nothing lies at this address.\n").into_response(),
        }
    }

    fn find(&self, path: &Path) -> io::Result<(About, Bytes)> {
        let parts = path.components().filter(|part| *part != Component::CurDir);
        let parts: Option<Vec<&str>> = parts
            .map(|part| match part {
                Component::Normal(name) => name.to_str(),
                _ => None,
            })
            .collect();
        let name = parts.ok_or(ErrorKind::NotFound)?.join("/");
        if let Some(content) = self.0.get(&name) {
            let about = About {
                bytes: content.bytes.len() as u64,
                changed: content.changed,
                is_dir: false,
            };
            return Ok((about, content.bytes.clone()));
        }
        let below = format!("{name}/");
        let is_dir = name.is_empty()
            || self
                .0
                .range(below.clone()..)
                .next()
                .is_some_and(|(name, _)| name.starts_with(&below));
        match is_dir {
            true => Ok((
                About {
                    bytes: 0,
                    changed: UNIX_EPOCH,
                    is_dir: true,
                },
                Bytes::new(),
            )),
            false => Err(ErrorKind::NotFound.into()),
        }
    }
}

/// The nearest time that a date in HTTP can say: the years from 1970 to 9999.
pub fn in_bounds(time: SystemTime) -> SystemTime {
    const END: Duration = Duration::from_secs(253_402_300_799);
    time.clamp(UNIX_EPOCH, UNIX_EPOCH + END)
}

impl Backend for Page {
    type File = Opened;
    type Metadata = About;
    type OpenFuture = Ready<io::Result<Opened>>;
    type MetadataFuture = Ready<io::Result<About>>;

    fn open(&self, path: PathBuf) -> Self::OpenFuture {
        let found = self
            .find(&path)
            .and_then(|(about, bytes)| match about.is_dir {
                true => Err(ErrorKind::NotFound.into()),
                false => Ok(Opened {
                    reader: Cursor::new(bytes),
                    about,
                }),
            });
        ready(found)
    }

    fn metadata(&self, path: PathBuf) -> Self::MetadataFuture {
        ready(self.find(&path).map(|(about, _)| about))
    }
}

/// What is known of a file without its bytes.
#[derive(Clone, Copy)]
pub struct About {
    bytes: u64,
    changed: SystemTime,
    is_dir: bool,
}

impl Metadata for About {
    fn is_dir(&self) -> bool {
        self.is_dir
    }

    fn modified(&self) -> io::Result<SystemTime> {
        Ok(self.changed)
    }

    fn len(&self) -> u64 {
        self.bytes
    }
}

/// A file that is being served.
pub struct Opened {
    reader: Cursor<Bytes>,
    about: About,
}

impl File for Opened {
    type Metadata = About;
    type MetadataFuture<'a> = Ready<io::Result<About>>;

    fn metadata(&self) -> Self::MetadataFuture<'_> {
        ready(Ok(self.about))
    }
}

impl AsyncRead for Opened {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Task<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reader).poll_read(task, into)
    }
}

impl AsyncSeek for Opened {
    fn start_seek(mut self: Pin<&mut Self>, position: SeekFrom) -> io::Result<()> {
        Pin::new(&mut self.reader).start_seek(position)
    }

    fn poll_complete(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<io::Result<u64>> {
        Pin::new(&mut self.reader).poll_complete(task)
    }
}
