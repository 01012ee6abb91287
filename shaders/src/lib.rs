//! Periapt's hand-written WGSL kernels, embedded as text.
//!
//! One kernel a file, entry point `main`. Sizes are template values (`{{ name }}`), since the
//! launcher passes no override constants; [`Shader::source`] fills them in. The tests validate
//! every kernel with naga at realistic sizes and hold it against the limits every WebGPU adapter
//! grants ([`floor`]).

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
}

/// One kernel's text with its template values still open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shader {
    /// The file's stem, for messages.
    pub name: &'static str,
    /// The names of the template values that [`Shader::source`] wants, in order.
    pub values: &'static [&'static str],
    text: &'static str,
    common: &'static str,
}

/// `matvec.wgsl`
pub const MATVEC: Shader = Shader {
    name: "matvec",
    values: &["workgroup_size", "rows", "inputs", "outputs"],
    text: include_str!("../matvec.wgsl"),
    common: "",
};

/// `rms_norm.wgsl`
pub const RMS_NORM: Shader = Shader {
    name: "rms_norm",
    values: &["workgroup_size", "width", "epsilon"],
    text: include_str!("../rms_norm.wgsl"),
    common: include_str!("../common/reduce.wgsl"),
};

/// `rope.wgsl`
pub const ROPE: Shader = Shader {
    name: "rope",
    values: &["workgroup_size", "row_width", "heads", "head_dim"],
    text: include_str!("../rope.wgsl"),
    common: "",
};

/// `silu_mul.wgsl`
pub const SILU_MUL: Shader = Shader {
    name: "silu_mul",
    values: &["workgroup_size", "width"],
    text: include_str!("../silu_mul.wgsl"),
    common: "",
};

/// Every kernel there is.
pub const ALL: &[Shader] = &[MATVEC, RMS_NORM, ROPE, SILU_MUL];

impl Shader {
    /// The complete WGSL with `values` in the order of [`Shader::values`].
    ///
    /// # Panics
    ///
    /// If the number of values is not the number of names: a mistake in the calling code.
    #[must_use]
    pub fn source(&self, values: &[String]) -> String {
        assert_eq!(
            values.len(),
            self.values.len(),
            "{} takes {:?}",
            self.name,
            self.values
        );
        let mut source = format!("{}{}", self.common, self.text);
        for (name, value) in self.values.iter().zip(values) {
            source = source.replace(&format!("{{{{ {name} }}}}"), value);
        }
        source
    }
}
