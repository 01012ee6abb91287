//! The WGSL implementations, launched through cubecl on the wgpu backend.
//!
//! Every binding is `read_write`: natively cubecl places many tensors in one buffer, and one
//! buffer may not be bound both for reading and for writing in a dispatch.

use super::Ops;
use burn::backend::{Shape, ops::FloatTensorOps};
use burn::cubecl::prelude::{CubeCount, KernelId};
use burn::cubecl::server::KernelArguments;
use burn::tensor::DType;
use burn_wgpu::{
    CubeBackend, CubeDim, CubeTensor, KernelSource, SourceKernel, SourceTemplate, into_contiguous,
};
use periapt_shaders::{MATVEC, RMS_NORM, ROPE, SILU_MUL, Shader};

/// Invocations in a workgroup, for every kernel here.
const WORKGROUP_SIZE: u32 = 64;

/// One kernel with its template values filled in; both together are its identity.
#[derive(Debug)]
struct Kernel {
    shader: Shader,
    values: Vec<String>,
}

impl KernelSource for Kernel {
    fn source(&self) -> SourceTemplate {
        SourceTemplate::new(self.shader.source(&self.values))
    }

    fn id(&self) -> KernelId {
        KernelId::new::<Self>().info((self.shader.name, self.values.clone()))
    }

    fn lang(&self) -> &'static str {
        "wgsl"
    }
}

/// Launches `shader` over `workgroups` with `inputs` and one f32 output of `shape`, bound in that
/// order. `values` are the shader's template values after the workgroup size.
fn launch(
    shader: Shader,
    values: &[String],
    inputs: Vec<CubeTensor>,
    shape: &[usize],
    workgroups: [u32; 2],
) -> CubeTensor {
    let (client, device) = (inputs[0].client.clone(), inputs[0].device.clone());
    let shape = Shape::from(shape.to_vec());
    let output = client.empty(shape.num_elements() * size_of::<f32>());
    let output = CubeTensor::new_contiguous(client.clone(), device, shape, output, DType::F32);

    let mut all = vec![WORKGROUP_SIZE.to_string()];
    all.extend_from_slice(values);
    let kernel = Kernel {
        shader,
        values: all,
    };
    let mut bindings: Vec<_> = inputs
        .into_iter()
        .map(|input| into_contiguous(input).handle.binding())
        .collect();
    bindings.push(output.handle.clone().binding());
    let [x, y] = workgroups;
    client.launch(
        Box::new(SourceKernel::new(kernel, CubeDim::new_1d(WORKGROUP_SIZE))),
        CubeCount::Static(x, y, 1),
        KernelArguments::new().with_buffers(bindings),
    );
    output
}

/// Up to so many rows, [`MATVEC`] beats a tiled product: a decode step, not a prefill.
const MATVEC_ROWS: usize = 8;

impl Ops for CubeBackend {
    fn linear(x: CubeTensor, weight: CubeTensor) -> CubeTensor {
        let [rows, inputs] = [x.meta.shape()[0], x.meta.shape()[1]];
        let outputs = weight.meta.shape()[1];
        if rows > MATVEC_ROWS {
            return Self::float_matmul(x, weight);
        }
        let values = [rows, inputs, outputs].map(|n| n.to_string());
        let workgroups = [(outputs as u32).div_ceil(WORKGROUP_SIZE), 1];
        launch(
            MATVEC,
            &values,
            vec![x, weight],
            &[rows, outputs],
            workgroups,
        )
    }

    fn rms_norm(x: CubeTensor, gain: CubeTensor, epsilon: f32) -> CubeTensor {
        let shape = [x.meta.shape()[0], x.meta.shape()[1]];
        let values = [shape[1].to_string(), format!("{epsilon:e}")];
        let workgroups = [shape[0] as u32, 1];
        launch(RMS_NORM, &values, vec![x, gain], &shape, workgroups)
    }

    fn rope(x: CubeTensor, table: CubeTensor, positions: CubeTensor, heads: usize) -> CubeTensor {
        let [rows, row_width] = [x.meta.shape()[0], x.meta.shape()[1]];
        let head_dim = table.meta.shape()[1];
        let values = [row_width, heads, head_dim].map(|n| n.to_string());
        let shape = [rows, heads, head_dim];
        let pairs = (heads * head_dim / 2) as u32;
        let workgroups = [pairs.div_ceil(WORKGROUP_SIZE), rows as u32];
        launch(ROPE, &values, vec![x, table, positions], &shape, workgroups)
    }

    fn silu_mul(x: CubeTensor) -> CubeTensor {
        let shape = [x.meta.shape()[0], x.meta.shape()[1] / 2];
        let values = [shape[1].to_string()];
        let workgroups = [(shape[1] as u32).div_ceil(WORKGROUP_SIZE), shape[0] as u32];
        launch(SILU_MUL, &values, vec![x], &shape, workgroups)
    }
}
