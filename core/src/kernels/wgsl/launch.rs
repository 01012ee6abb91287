//! A kernel on its way to the device, through cubecl's client.

use super::stats;
use burn::backend::{DispatchDevice, Shape};
use burn::cubecl::prelude::{CubeCount, KernelId};
use burn::cubecl::server::KernelArguments;
use burn::tensor::{DType, Device};
use burn_wgpu::{CubeDim, CubeTensor, KernelSource, SourceKernel, SourceTemplate};
use periapt_shaders::{MATMUL, MATVEC, Shader, Value, floor::BINDING_BYTES};

/// True where tensors on `device` go through these kernels.
pub fn is_gpu(device: &Device) -> bool {
    matches!(device.as_dispatch(), DispatchDevice::Cube(_))
}

/// The most bytes of one binding on `device`: what its adapter grants, up to 1 GiB, and at least the floor.
pub fn binding_bytes(device: &Device) -> u64 {
    match device.as_dispatch() {
        DispatchDevice::Cube(device) => {
            let granted = device.client().properties().memory.max_page_size;
            granted.clamp(BINDING_BYTES, 1 << 30)
        }
        _ => BINDING_BYTES,
    }
}

/// Hands everything queued to the device, so that what was uploaded is no longer held by the host.
pub fn flush(device: &Device) {
    if let DispatchDevice::Cube(device) = device.as_dispatch()
        && let Err(error) = device.client().flush()
    {
        tracing::warn!(%error, "the device did not take its work");
    }
}

/// Template values by name.
pub type Values = Vec<(&'static str, Value)>;

/// One kernel with its template values filled in; both together are its identity.
#[derive(Debug)]
struct Kernel {
    shader: Shader,
    values: Values,
}

impl KernelSource for Kernel {
    fn source(&self) -> SourceTemplate {
        SourceTemplate::new(match cfg!(target_arch = "wasm32") {
            true => self.shader.browser_source(&self.values),
            false => self.shader.source(&self.values),
        })
    }

    fn id(&self) -> KernelId {
        KernelId::new::<Self>().info((self.shader.name, self.values.clone()))
    }

    fn lang(&self) -> &'static str {
        "wgsl"
    }
}

impl Kernel {
    /// What its time is counted under.
    fn group(&self) -> String {
        let sizes = self
            .values
            .iter()
            .filter(|(name, _)| {
                [MATVEC, MATMUL].contains(&self.shader) && ["inputs", "outputs"].contains(name)
            })
            .map(|(name, value)| format!(" {name} {value}"));
        self.shader.name.to_owned() + &sizes.collect::<String>()
    }
}

/// An f32 tensor of undefined content beside `like`.
pub fn empty(like: &CubeTensor, shape: &[usize]) -> CubeTensor {
    let shape = Shape::from(shape.to_vec());
    let handle = like.client.empty(shape.num_elements() * size_of::<f32>());
    let (client, device) = (like.client.clone(), like.device.clone());
    CubeTensor::new_contiguous(client, device, shape, handle, DType::F32)
}

/// Launches `shader` over `workgroups` with `bindings` in order.
pub fn launch(shader: Shader, values: Values, bindings: &[&CubeTensor], workgroups: [usize; 3]) {
    let [x, y, z] = workgroups.map(|n| n as u32);
    let buffers = bindings
        .iter()
        .map(|tensor| tensor.handle.clone().binding())
        .collect();
    let client = &bindings[0].client;
    let kernel = Kernel { shader, values };
    let name = stats::profiling().then(|| kernel.group());
    stats::dispatch(client, name, || {
        client.launch(
            // The workgroup's real size stands in the WGSL.
            Box::new(SourceKernel::new(kernel, CubeDim::new_1d(64))),
            CubeCount::Static(x, y, z),
            KernelArguments::new().with_buffers(buffers),
        );
    });
}
