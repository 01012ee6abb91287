//! Names of models on the hub, and which of a repository's files a name means.

use super::StoreError;
use periapt_core::formats::{gguf::Split, hub};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A model on the hub, written `OWNER/NAME[:FILE][@REVISION]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubId {
    /// `OWNER/NAME`.
    pub repo: String,
    /// Which GGUF file: its path in the repository, or what its name ends in before `.gguf`, such as `Q4_K_M`.
    pub file: Option<String>,
    /// A branch, a tag or a commit; `main` where nothing is said.
    pub revision: String,
}

/// A repository's files at one commit.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Listing {
    pub repo: String,
    pub revision: String,
    /// The commit that the revision meant when it was asked for.
    pub commit: String,
    pub files: Vec<HubFile>,
}

/// One file of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HubFile {
    /// Its path in the repository.
    pub path: String,
    pub bytes: u64,
    /// Known of the large files.
    pub sha256: Option<String>,
    /// The id that Git gives to its bytes; known of the small ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob: Option<String>,
}

/// The files of a folder of safetensors, the shards that an index names aside; those that a repository lacks are left out.
/// We don't read the one that is only named here; others do.
pub(super) fn folder_files() -> impl Iterator<Item = &'static str> {
    hub::TEXTS
        .into_iter()
        .chain(["special_tokens_map.json", hub::WEIGHTS])
}

impl HubId {
    /// The id that `text` writes, or `None` where it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (rest, revision) = match text.split_once('@') {
            Some((rest, revision)) => (rest, revision),
            None => (text, "main"),
        };
        let (repo, file) = match rest.split_once(':') {
            Some((repo, file)) => (repo, Some(file)),
            None => (rest, None),
        };
        let (owner, name) = repo.split_once('/')?;
        let word = |text: &str| {
            !text.is_empty()
                && !text.starts_with(['.', '-'])
                && text
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        };
        // A path of two parts that ends like a file is a file.
        let path = file.is_none() && name.ends_with(".gguf");
        let plain = word(owner)
            && word(name)
            && !path
            && safe(revision)
            && file.is_none_or(safe)
            && !repo.contains("--");
        plain.then(|| Self {
            repo: repo.to_owned(),
            file: file.map(str::to_owned),
            revision: revision.to_owned(),
        })
    }

    /// The folder in the store that holds the repository at this revision: no two ids share one. (No repository's name
    /// holds `--`.)
    pub(super) fn folder(&self) -> String {
        let revision = self.revision.replace('%', "%25").replace('/', "%2F");
        format!("{}@{revision}", self.repo.replace('/', "--"))
    }

    /// The folder's name before: revisions with `/` and with `--` shared one.
    pub(super) fn old_folder(&self) -> String {
        format!("{}@{}", self.repo, self.revision).replace('/', "--")
    }

    /// The id of the whole repository in a folder of that name.
    pub(super) fn of_folder(folder: &str) -> Option<Self> {
        let (repo, revision) = folder.split_once('@')?;
        let id = Self::parse(&format!(
            "{}@{}",
            repo.replacen("--", "/", 1),
            revision.replace("%2F", "/").replace("%25", "%")
        ))?;
        (id.folder() == folder).then_some(id)
    }
}

impl fmt::Display for HubId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.repo)?;
        if let Some(file) = &self.file {
            write!(f, ":{file}")?;
        }
        write!(f, "@{}", self.revision)
    }
}

/// Whether `path` stays below the folder it is joined to, on any system, and names no hidden file.
pub(super) fn safe(path: &str) -> bool {
    path.len() < 512
        && path.split('/').all(|part| {
            !part.is_empty()
                && !part.starts_with('.')
                && !part.ends_with(['.', ' '])
                && !part.ends_with(".part")
                && !part.contains(|c: char| {
                    c.is_control()
                        || matches!(c, '\\' | ':')
                        || (cfg!(windows) && matches!(c, '*' | '?' | '"' | '<' | '>' | '|'))
                })
        })
}

impl Listing {
    /// Whether this is what `id`'s repository holds at its revision.
    pub(super) fn is_of(&self, id: &HubId) -> bool {
        self.repo == id.repo && self.revision == id.revision
    }

    /// The id of the whole repository.
    pub(super) fn id(&self) -> Option<HubId> {
        HubId::parse(&format!("{}@{}", self.repo, self.revision))
    }

    pub(super) fn file(&self, path: &str) -> Option<&HubFile> {
        self.files.iter().find(|file| file.path == path)
    }

    /// The GGUF file of that path, with the other parts where it is one of a split model's.
    pub(super) fn parts_of(&self, path: &str) -> Vec<HubFile> {
        let ggufs = self
            .files
            .iter()
            .filter(|file| file.path.ends_with(".gguf"));
        parts(&ggufs.collect::<Vec<_>>(), Split::stem(path))
    }

    /// What `id` means here: one GGUF file (with all its parts where it is split), or a folder's files, of which the
    /// shards that an index names are to be added.
    pub(super) fn choose(&self, id: &HubId) -> Result<Vec<HubFile>, StoreError> {
        let ggufs: Vec<&HubFile> = (self.files.iter())
            .filter(|file| file.path.ends_with(".gguf") && safe(&file.path))
            .collect();
        let unclear = |files: &[&HubFile]| StoreError::HubChoice {
            id: id.to_string(),
            repo: self.repo.clone(),
            files: files.iter().map(|file| file.path.clone()).collect(),
        };
        if let Some(wanted) = &id.file {
            let exact = ggufs.iter().find(|file| file.path == *wanted);
            let wanted = wanted.to_ascii_lowercase();
            let ending = wanted.trim_end_matches(".gguf");
            let named = |file: &&&HubFile| {
                let stem = Split::stem(&file.path).to_ascii_lowercase();
                stem.strip_suffix(ending)
                    .is_some_and(|rest| match rest.chars().next_back() {
                        None | Some('-' | '.' | '/') => true,
                        // Within a quantization's own name: `M` is no name of `Q4_K_M`.
                        Some('_') => QUANTIZATIONS.iter().any(|kind| ending.starts_with(kind)),
                        _ => false,
                    })
            };
            let found = match exact {
                Some(file) => vec![*file],
                None => ggufs.iter().filter(named).copied().collect(),
            };
            return match one_model(&found) {
                Some(stem) => Ok(parts(&ggufs, stem)),
                None if found.is_empty() => Err(unclear(&ggufs)),
                None => Err(unclear(&found)),
            };
        }
        let is_split = self.file(hub::INDEX).is_some();
        if is_split || self.file(hub::WEIGHTS).is_some() {
            let files = folder_files().filter(|name| !(is_split && *name == hub::WEIGHTS));
            return Ok(files.filter_map(|name| self.file(name).cloned()).collect());
        }
        match one_model(&ggufs) {
            Some(stem) => Ok(parts(&ggufs, stem)),
            None if ggufs.is_empty() => Err(StoreError::HubNoModel(id.to_string())),
            None => Err(unclear(&ggufs)),
        }
    }
}

/// How the names of quantizations begin.
const QUANTIZATIONS: [&str; 6] = ["q", "iq", "f16", "f32", "bf16", "mxfp4"];

/// The stem that all these files share, if there are any and they do.
fn one_model<'a>(files: &[&'a HubFile]) -> Option<&'a str> {
    let stem = Split::stem(&files.first()?.path);
    files
        .iter()
        .all(|file| Split::stem(&file.path) == stem)
        .then_some(stem)
}

fn parts(files: &[&HubFile], stem: &str) -> Vec<HubFile> {
    let mut parts: Vec<HubFile> = (files.iter())
        .filter(|file| Split::stem(&file.path) == stem)
        .map(|file| (*file).clone())
        .collect();
    parts.sort_by(|a, b| a.path.cmp(&b.path));
    parts
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn ids_are_told_from_paths() {
        let id = HubId::parse("some-one/A.model_1").unwrap();
        assert_eq!(
            (id.repo.as_str(), id.revision.as_str()),
            ("some-one/A.model_1", "main")
        );
        let id = HubId::parse("a/b:sub/x.Q4_0.gguf@refs/pr/1").unwrap();
        assert_eq!(id.file.as_deref(), Some("sub/x.Q4_0.gguf"));
        assert_eq!(id.revision, "refs/pr/1");
        assert_eq!(id.to_string(), "a/b:sub/x.Q4_0.gguf@refs/pr/1");
        assert_eq!(id.folder(), "a--b@refs%2Fpr%2F1");
        assert_eq!(id.old_folder(), "a--b@refs--pr--1");
        for none in [
            "a", "a/b/c", "./a", "../a", "/a", "a/", "/", "a/b.gguf", "a/b@", "a/b@../x", "a/b:",
            "a/b:../x", "a\\b/c", "a b/c", "C:/x", "a/.b", "-a/b", "a/b@x..", "a--b/c",
        ] {
            assert_eq!(HubId::parse(none), None, "{none}");
        }
    }

    #[test]
    fn no_two_ids_share_a_folder() {
        let mut folders = std::collections::BTreeSet::new();
        let revisions = [
            "x/y", "x--y", "x%2Fy", "x%252Fy", "x%y", "x-y", "x/-y", "x-/y", "main", "Main",
            "x/y/z", "x--y/z", "x/y--z", "#1", "v1.0+cpu",
        ];
        for repo in ["a/b", "a-b/c", "a/b-c"] {
            for revision in revisions {
                let id = HubId::parse(&format!("{repo}@{revision}")).unwrap();
                assert_eq!(HubId::of_folder(&id.folder()), Some(id.clone()), "{id}");
                assert!(folders.insert(id.folder()), "{id}");
            }
        }
    }

    #[test]
    fn paths_of_a_listing_stay_inside() {
        for good in [
            "a.gguf",
            "Q4/a-00001-of-00002.gguf",
            "50% #1.gguf",
            "mö.gguf",
        ] {
            assert!(safe(good), "{good}");
        }
        for bad in [
            "../a", "/a", "a/../b", "a//b", "a\\b", "C:a", ".git/x", "a\0", "", "a/", "a.part",
            "a\nb",
        ] {
            assert!(!safe(bad), "{bad}");
        }
    }

    fn listing(paths: &[&str]) -> Listing {
        let file = |path: &&str| HubFile {
            path: (*path).to_owned(),
            bytes: 1,
            sha256: None,
            blob: None,
        };
        Listing {
            repo: "a/b".to_owned(),
            revision: "main".to_owned(),
            commit: "c".to_owned(),
            files: paths.iter().map(file).collect(),
        }
    }

    fn chosen(paths: &[&str], id: &str) -> Result<Vec<String>, String> {
        let files = listing(paths).choose(&HubId::parse(id).unwrap());
        files
            .map(|files| files.into_iter().map(|file| file.path).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_quantization_names_its_file() {
        let paths = [
            "m.Q4_0.gguf",
            "m.Q4_K_M.gguf",
            "m-f16-00002-of-00002.gguf",
            "m-f16-00001-of-00002.gguf",
        ];
        assert_eq!(chosen(&paths, "a/b:q4_k_m").unwrap(), ["m.Q4_K_M.gguf"]);
        assert_eq!(chosen(&paths, "a/b:m.Q4_0.gguf").unwrap(), ["m.Q4_0.gguf"]);
        assert_eq!(
            chosen(&paths, "a/b:F16").unwrap(),
            ["m-f16-00001-of-00002.gguf", "m-f16-00002-of-00002.gguf"]
        );
        for unclear in ["a/b", "a/b:M", "a/b:Q8_0"] {
            let error = chosen(&paths, unclear).unwrap_err();
            assert!(error.contains("m.Q4_0.gguf"), "{error}");
        }
        assert_eq!(chosen(&paths[..1], "a/b").unwrap(), ["m.Q4_0.gguf"]);
        assert!(
            chosen(&["../m.gguf", "README.md"], "a/b")
                .unwrap_err()
                .contains("no model")
        );
    }

    #[test]
    fn a_folder_has_what_a_model_needs() {
        let paths = [
            "README.md",
            "config.json",
            "model.safetensors",
            "tokenizer.json",
            "m.gguf",
            "pytorch_model.bin",
        ];
        assert_eq!(
            chosen(&paths, "a/b").unwrap(),
            ["config.json", "tokenizer.json", "model.safetensors"]
        );
        assert_eq!(chosen(&paths, "a/b:m.gguf").unwrap(), ["m.gguf"]);
    }
}
