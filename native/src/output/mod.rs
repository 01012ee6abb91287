//! Files that are written, and when they are there: whole, or not at all. A file is written beside its place and renamed
//! when all of it is on disk; what was there before stays until then, keeps its permissions, and is never the file that
//! the output is made from ([`Output::apart_from`]). A link is followed and stays a link. A device or a pipe is written
//! to and never replaced; a folder, a disk or a socket is refused. What is half written goes with the program, however
//! that ends (`scratch`).

mod scratch;

pub use scratch::{Scratch, leave_interrupts};

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Why there is no output.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// It can't be written to that place.
    #[error("{}: {why}", path.display())]
    Place {
        /// The place.
        path: PathBuf,
        /// Why not, and what to do.
        why: String,
    },
    /// Writing failed.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What becomes of a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// The output takes its place.
    Replace,
    /// It stays, and there is no output.
    Keep,
}

/// An output under way. Dropped before [`Output::finish`], it leaves everything as it was.
#[derive(Debug)]
pub struct Output {
    /// As it was named.
    path: PathBuf,
    file: BufWriter<File>,
    /// Nothing where the file is a device or a pipe.
    beside: Option<Beside>,
}

#[derive(Debug)]
struct Beside {
    scratch: Scratch,
    to: PathBuf,
    existing: Existing,
}

impl Output {
    /// Opens what `path` names, so that a place that can't be written is known before anything is computed.
    ///
    /// # Errors
    ///
    /// [`OutputError::Place`] where the folder is not there or may not be written, or `path` names a folder, a disk, a
    /// socket, or, with [`Existing::Keep`], a file.
    pub fn create(path: &Path, existing: Existing) -> Result<Self, OutputError> {
        const BUFFER: usize = 1 << 20;
        let refuse = |why: &str| OutputError::Place {
            path: path.to_owned(),
            why: why.to_owned(),
        };
        let cannot = |error: io::Error| refuse(&format!("cannot be written ({error})"));
        if path.is_dir() || path.file_name().is_none() || ends_as_folder(path) {
            return Err(refuse("is no name for a file"));
        }
        let wrap = |file, beside| Self {
            path: path.to_owned(),
            file: BufWriter::with_capacity(BUFFER, file),
            beside,
        };
        if let Some(file) = direct(path).map_err(cannot)? {
            return Ok(wrap(file, None));
        }
        let to = target(path).map_err(cannot)?;
        let before = match fs::metadata(&to) {
            Ok(about) if !about.is_file() => {
                return Err(refuse("is neither a file nor a pipe: choose another name"));
            }
            Ok(_) if existing == Existing::Keep => {
                return Err(refuse("is there already; --force writes over it"));
            }
            Ok(about) => Some(about),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(cannot(error)),
        };
        if before.is_some() {
            // What may not be written is not replaced, either.
            OpenOptions::new().write(true).open(&to).map_err(cannot)?;
        }
        let folder = folder_of(&to);
        if !folder.is_dir() {
            let why = format!(
                "the folder {} is not there: make it first",
                folder.display()
            );
            return Err(refuse(&why));
        }
        let (scratch, file) = Scratch::create(folder).map_err(cannot)?;
        if let Some(before) = before {
            take_over(&file, &before).map_err(cannot)?;
        }
        let beside = Beside {
            scratch,
            to,
            existing,
        };
        Ok(wrap(file, Some(beside)))
    }

    /// Refuses an output that is one of the files it is made from, by whatever name.
    ///
    /// # Errors
    ///
    /// [`OutputError::Place`].
    pub fn apart_from<P: AsRef<Path>>(
        &self,
        inputs: impl IntoIterator<Item = P>,
    ) -> Result<(), OutputError> {
        apart(&self.path, inputs)
    }

    /// Whether it is a device or a pipe.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.beside.is_none()
    }

    /// Writes all of it, and gives it its name.
    ///
    /// # Errors
    ///
    /// As [`Output::finish`].
    pub fn put(mut self, bytes: &[u8]) -> Result<(), OutputError> {
        let written = self.file.write_all(bytes);
        written.map_err(|source| OutputError::Write {
            path: self.path.clone(),
            source,
        })?;
        self.finish()
    }

    /// Everything was written: gives it its name.
    ///
    /// # Errors
    ///
    /// [`OutputError::Write`], and nothing is left of it; [`OutputError::Place`] where a file that is to stay came by now.
    pub fn finish(mut self) -> Result<(), OutputError> {
        let path = self.path.clone();
        let failed = |source| OutputError::Write {
            path: path.clone(),
            source: plain(source),
        };
        self.file.flush().map_err(failed)?;
        let Some(Beside {
            scratch,
            to,
            existing,
        }) = self.beside.take()
        else {
            return Ok(());
        };
        self.file.get_ref().sync_all().map_err(failed)?;
        if existing == Existing::Keep && fs::symlink_metadata(&to).is_ok() {
            let why = "is there by now; --force writes over it".to_owned();
            return Err(OutputError::Place { path, why });
        }
        scratch.settle(&to).map_err(failed)
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file
            .write(bytes)
            .map_err(|error| named(error, &self.path))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush().map_err(|error| named(error, &self.path))
    }
}

/// Writes a whole file.
///
/// # Errors
///
/// As [`Output`].
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), OutputError> {
    Output::create(path, Existing::Replace)?.put(bytes)
}

/// Makes a file that this user alone may read, unless there is one: what is written over it later stays so.
///
/// # Errors
///
/// What the system says.
pub fn make_private(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// Refuses `output` where it is one of `inputs`, by whatever name.
///
/// # Errors
///
/// [`OutputError::Place`].
pub fn apart<P: AsRef<Path>>(
    output: &Path,
    inputs: impl IntoIterator<Item = P>,
) -> Result<(), OutputError> {
    for input in inputs {
        if same_file(output, input.as_ref()) {
            return Err(OutputError::Place {
                path: output.to_owned(),
                why: format!(
                    "is {}, which is read here: choose another name for what is written",
                    input.as_ref().display()
                ),
            });
        }
    }
    Ok(())
}

/// Whether two names are one file.
fn same_file(a: &Path, b: &Path) -> bool {
    match (fs::metadata(a), fs::metadata(b)) {
        (Ok(one), Ok(other)) => one.is_file() && other.is_file() && is_same(a, &one, b, &other),
        _ => false,
    }
}

#[cfg(unix)]
fn is_same(_: &Path, one: &Metadata, _: &Path, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(not(unix))]
fn is_same(a: &Path, _: &Metadata, b: &Path, _: &Metadata) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// Opens what is written to as it is: a device, a pipe, or an open file of this process (`/dev/stdout`, `/dev/fd/63`),
/// whatever that is. Nothing is opened where the name is of something else.
///
/// # Errors
///
/// What the system says.
pub fn direct(path: &Path) -> io::Result<Option<File>> {
    let is_open_file = target(path).is_ok_and(|to| is_descriptor(&to));
    match fs::metadata(path) {
        // At its end: a shell may have opened it with `>>`.
        Ok(_) if is_open_file => OpenOptions::new().append(true).open(path).map(Some),
        Ok(about) if is_stream(&about) => OpenOptions::new().write(true).open(path).map(Some),
        _ => Ok(None),
    }
}

#[cfg(unix)]
fn is_stream(about: &Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt;
    about.file_type().is_char_device() || about.file_type().is_fifo()
}

#[cfg(not(unix))]
fn is_stream(_: &Metadata) -> bool {
    false
}

/// Where links lead, whether something is there or not; they stop before an open file of a process.
fn target(path: &Path) -> io::Result<PathBuf> {
    const MOST_LINKS: usize = 40;
    let mut at = path.to_owned();
    for _ in 0..MOST_LINKS {
        let is_link = fs::symlink_metadata(&at).is_ok_and(|about| about.is_symlink());
        if !is_link || is_descriptor(&at) {
            return Ok(at);
        }
        at = folder_of(&at).join(fs::read_link(&at)?);
    }
    Err(io::Error::other("too many links, one leading to the next"))
}

/// Whether it is one of a process's open files, as `/proc/self/fd/1` is, and on macOS and the BSDs `/dev/fd/1`.
fn is_descriptor(path: &Path) -> bool {
    let folder = folder_of(path).canonicalize();
    folder.is_ok_and(|folder| {
        folder == Path::new("/dev/fd") || (folder.starts_with("/proc") && folder.ends_with("fd"))
    })
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// `name/` asks for a folder.
fn ends_as_folder(path: &Path) -> bool {
    let bytes = path.as_os_str().as_encoded_bytes();
    bytes
        .last()
        .is_some_and(|last| std::path::is_separator(char::from(*last)))
}

/// Gives a new file the permissions of the one that it will replace, and its owner where that may be given.
fn take_over(file: &File, before: &Metadata) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
        // Only root may, and another's file is as good.
        let _ = fchown(file, Some(before.uid()), Some(before.gid()));
        file.set_permissions(Permissions::from_mode(before.mode() & 0o777))
    }
    #[cfg(not(unix))]
    file.set_permissions(before.permissions())
}

/// An error of writing, with the file's name.
fn named(source: io::Error, path: &Path) -> io::Error {
    match source.kind() {
        ErrorKind::Interrupted => source,
        kind => {
            let path = path.to_owned();
            io::Error::new(kind, OutputError::Write { path, source })
        }
    }
}

/// The same without it.
fn plain(error: io::Error) -> io::Error {
    match error.downcast::<OutputError>() {
        Ok(OutputError::Write { source, .. }) => source,
        Ok(other) => io::Error::other(other),
        Err(error) => error,
    }
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
    use temp_dir::TempDir;

    fn names(folder: &TempDir) -> Vec<String> {
        let entries = fs::read_dir(folder.path()).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_when_all_is_written_and_not_before() {
        let folder = TempDir::new().unwrap();
        let path = folder.child("a");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let mut output = Output::create(&path, Existing::Replace).unwrap();
        output.write_all(b"new").unwrap();
        output.flush().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        drop(output);
        assert_eq!(
            (fs::read(&path).unwrap(), names(&folder)),
            (b"old".to_vec(), vec!["a".to_owned()])
        );
        write_whole(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o640
        );
        assert!(Output::create(&path, Existing::Keep).is_err());
        assert_eq!(names(&folder), ["a"]);
    }

    #[test]
    fn links_are_followed_and_stay() {
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.child("below")).unwrap();
        for (link, to) in [("one", "below/a"), ("two", "one"), ("loop", "loop")] {
            symlink(to, folder.child(link)).unwrap();
        }
        write_whole(&folder.child("two"), b"x").unwrap();
        assert_eq!(fs::read(folder.child("below/a")).unwrap(), b"x");
        write_whole(&folder.child("one"), b"y").unwrap();
        assert_eq!(fs::read(folder.child("two")).unwrap(), b"y");
        assert!(folder.child("one").is_symlink() && folder.child("two").is_symlink());
        assert!(write_whole(&folder.child("loop"), b"").is_err());
        assert_eq!(fs::read_dir(folder.child("below")).unwrap().count(), 1);
    }

    #[test]
    fn one_file_is_known_by_all_its_names() {
        let folder = TempDir::new().unwrap();
        let file = folder.child("a");
        fs::write(&file, "").unwrap();
        fs::write(folder.child("other"), "").unwrap();
        fs::create_dir(folder.child("below")).unwrap();
        symlink("a", folder.child("soft")).unwrap();
        fs::hard_link(&file, folder.child("hard")).unwrap();
        for name in ["a", "soft", "hard", "below/../a", "./a"] {
            assert!(apart(&folder.child(name), [&file]).is_err(), "{name}");
        }
        for name in ["other", "new"] {
            assert!(apart(&folder.child(name), [&file]).is_ok(), "{name}");
        }
        assert!(apart(Path::new("/dev/null"), ["/dev/null"]).is_ok());
    }

    #[test]
    fn what_is_no_file_stays_what_it_is() {
        let folder = TempDir::new().unwrap();
        let socket = folder.child("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let below = folder.child("below");
        fs::create_dir(&below).unwrap();
        for path in [
            &socket,
            &below,
            &folder.child("new/"),
            &folder.child("no/where"),
            &folder.child("below/.."),
        ] {
            let error = Output::create(path, Existing::Replace).unwrap_err();
            assert!(matches!(error, OutputError::Place { .. }), "{error}");
        }
        assert!(fs::metadata(&socket).unwrap().file_type().is_socket());
        write_whole(Path::new("/dev/null"), b"x").unwrap();
        assert!(
            fs::metadata("/dev/null")
                .unwrap()
                .file_type()
                .is_char_device()
        );
        symlink("/dev/null", folder.child("null")).unwrap();
        write_whole(&folder.child("null"), b"x").unwrap();
        assert!(folder.child("null").is_symlink());
        // In a full device nothing is kept, and that is said.
        let error = write_whole(Path::new("/dev/full"), b"x").unwrap_err();
        assert!(matches!(error, OutputError::Write { .. }), "{error}");
        assert_eq!(names(&folder), ["below", "null", "socket"]);
    }
}
