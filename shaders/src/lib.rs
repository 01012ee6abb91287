//! Periapt's hand-written WGSL kernels, embedded as text.
//!
//! One kernel a file, entry point `main`. Sizes and variants are template values (minijinja), since the
//! launcher passes no override constants; [`Shader::source`] fills them in. The tests validate
//! every kernel with naga at realistic values and hold it against the limits every WebGPU adapter
//! grants ([`floor`]).
//!
//! What kernels and their callers must agree on is here, too, and reaches every template: how a matrix lies ([`Layout`], by
//! the value `dtype`) and where a setting stands ([`Settings`]).

mod blocks;
mod settings;

pub use blocks::{LAYOUTS, Layout, TILE};
pub use settings::Settings;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, UndefinedBehavior};
use std::collections::BTreeMap;

/// What every WebGPU adapter grants, and so the most a kernel may need.
pub mod floor {
    /// Storage buffers in one shader stage.
    pub const STORAGE_BUFFERS: usize = 8;
    /// Workgroup memory, in bytes.
    pub const WORKGROUP_BYTES: u32 = 16 * 1024;
    /// Invocations in one workgroup.
    pub const INVOCATIONS: u32 = 256;
    /// Workgroups in one dimension of a dispatch.
    pub const WORKGROUPS: u32 = 65_535;
    /// Bytes of one storage binding.
    pub const BINDING_BYTES: u64 = 128 * 1024 * 1024;
}

/// One kernel's text with its template values still open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shader {
    /// The file's stem, for messages.
    pub name: &'static str,
    text: &'static str,
}

/// A template value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Value {
    /// A size; 0 is also "no".
    Number(usize),
    /// A choice by name, or a literal.
    Text(String),
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "{text}"),
        }
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(yes: bool) -> Self {
        Self::Number(yes.into())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// A float as a WGSL literal.
impl From<f32> for Value {
    fn from(float: f32) -> Self {
        Self::Text(format!("{float:e}"))
    }
}

macro_rules! shaders {
    ($($(#[$doc:meta])* $name:ident = $file:literal;)*) => {
        $($(#[$doc])* pub const $name: Shader = Shader {
            name: $file,
            text: include_str!(concat!("../", $file, ".wgsl")),
        };)*
        /// Every kernel there is.
        pub const ALL: &[Shader] = &[$($name),*];
    };
}

shaders! {
    /// Quantized matrix times rows, with norm, residual and gate fused in.
    MATVEC = "matvec";
    /// The same for many rows.
    MATMUL = "matmul";
    /// Embedding lookup from a quantized matrix.
    EMBED = "embed";
    /// Rotary embedding, and k and v into the cache.
    ROPE_WRITE = "rope_write";
    /// Attention over the paged cache.
    ATTENTION = "attention";
    /// Attention's splits put together.
    ATTENTION_COMBINE = "attention_combine";
    /// Weighted streams to scores.
    GUIDANCE = "guidance";
    /// What each share of the scores comes to, for the next.
    SAMPLE_SUMMARY = "sample_summary";
    /// Scores to tokens.
    SAMPLE = "sample";
    /// Log-probabilities of given tokens.
    LOG_PROBS = "log_probs";
    /// A copy, to measure with.
    COPY = "copy";
    /// Chains of multiply-adds, to measure with.
    FMA_CHAIN = "fma_chain";
    /// One cache page copied to another.
    COPY_PAGE = "copy_page";
}

/// What kernels include.
const COMMON: &[(&str, &str)] = &[
    ("common/blocks.wgsl", include_str!("../common/blocks.wgsl")),
    (
        "common/nucleus.wgsl",
        include_str!("../common/nucleus.wgsl"),
    ),
    ("common/pages.wgsl", include_str!("../common/pages.wgsl")),
    (
        "common/penalties.wgsl",
        include_str!("../common/penalties.wgsl"),
    ),
    ("common/reduce.wgsl", include_str!("../common/reduce.wgsl")),
    (
        "common/sortable.wgsl",
        include_str!("../common/sortable.wgsl"),
    ),
];

impl Shader {
    /// The complete WGSL for a browser. It wants the subgroups extension named, where naga has it on and refuses
    /// the name; and it can't see that what loops run over (a row's pages) is the same for a whole subgroup.
    ///
    /// # Panics
    ///
    /// As [`Shader::source`].
    #[must_use]
    pub fn browser_source(&self, values: &[(&'static str, Value)]) -> String {
        let source = self.source(values);
        match source.contains("subgroupBroadcast") {
            true => format!("enable subgroups;\ndiagnostic(off, subgroup_uniformity);\n{source}"),
            false => source,
        }
    }

    /// The complete WGSL with `values` by name.
    ///
    /// # Panics
    ///
    /// If a value is missing or the template is wrong: a mistake in the calling code.
    #[must_use]
    pub fn source(&self, values: &[(&'static str, Value)]) -> String {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        if let Ok(syntax) = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()
        {
            environment.set_syntax(syntax);
        }
        for (name, text) in COMMON.iter().chain(&[(self.name, self.text)]) {
            if let Err(error) = environment.add_template(name, text) {
                panic!("{name}: {error:#}");
            }
        }
        let mut all: BTreeMap<_, minijinja::Value> = values
            .iter()
            .map(|(name, value)| match value {
                Value::Number(number) => (*name, (*number).into()),
                Value::Text(text) => (*name, text.into()),
            })
            .collect();
        all.insert("tile", TILE.into());
        let slots: BTreeMap<_, u32> = Settings::NAMES.iter().copied().zip(0..).collect();
        all.insert("slot", slots.into());
        let dtype = all.get("dtype").and_then(minijinja::Value::as_str);
        if let Some(layout) = dtype.and_then(Layout::of) {
            all.insert("layout", layout.value());
        }
        environment
            .get_template(self.name)
            .and_then(|template| template.render(all))
            .unwrap_or_else(|error| panic!("{}: {error:#}", self.name))
    }
}
