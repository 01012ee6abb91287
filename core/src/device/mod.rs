//! Opening the device that computes: a GPU through wgpu, or burn's CPU backend.

mod info;

pub use info::{DeviceInfo, Kind};

use crate::kernels::Variant;
use burn::tensor::{Device, DeviceKind, wgpu::WgpuBackend};
use std::sync::Mutex;

/// Which device to compute on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "contract", derive(clap::ValueEnum))]
pub enum DeviceChoice {
    /// The best GPU adapter, a software one included, else the CPU backend
    #[default]
    Auto,
    /// The best GPU adapter, a software one included
    Gpu,
    /// burn's CPU backend
    Cpu,
}

/// A device ready for tensors, with its description.
#[derive(Debug, Clone)]
pub struct OpenDevice {
    /// burn's handle; cheap to clone.
    pub device: Device,
    /// What it is.
    pub info: DeviceInfo,
    /// The size of its subgroups where that is fixed and kernels may use them, else 0.
    pub subgroup: usize,
}

impl OpenDevice {
    /// The matrix kernels worth trying here, the one to take without trying first; `floor` leaves out what
    /// needs more than every WebGPU adapter grants.
    #[must_use]
    pub fn variants(&self, floor: bool) -> Vec<Variant> {
        Variant::candidates(self.info.software, if floor { 0 } else { self.subgroup })
    }
}

/// Why no device could be opened.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// wgpu found no adapter of any kind.
    #[error(
        "no GPU adapter was found, not even a software one; install a Vulkan driver (on Debian: \
         mesa-vulkan-drivers) or compute on the CPU with --device cpu"
    )]
    NoAdapter,
    /// There is an adapter, but it gave no device.
    #[error(
        "the adapter {adapter} gave no device: {reason}; update its driver or compute on the CPU \
         with --device cpu"
    )]
    Refused {
        /// The adapter's name.
        adapter: String,
        /// What wgpu said.
        reason: String,
    },
}

/// Dispatches in one submission, at most: a decode step of any model we run is one.
const TASKS_MAX: usize = 4096;

/// burn registers a GPU once a process: a second initialization of the same device is an error,
/// so the first one is kept and cloned.
static GPU: Mutex<Option<OpenDevice>> = Mutex::new(None);

/// Opens the device that `choice` names. Opening the same device again returns the first one.
///
/// # Errors
///
/// [`DeviceError`] where `choice` is [`DeviceChoice::Gpu`] and no adapter gives a device.
/// [`DeviceChoice::Auto`] falls back to the CPU backend instead.
pub async fn open(choice: DeviceChoice) -> Result<OpenDevice, DeviceError> {
    match choice {
        DeviceChoice::Cpu => Ok(open_cpu()),
        DeviceChoice::Gpu => open_gpu().await,
        DeviceChoice::Auto => match open_gpu().await {
            Ok(open) => Ok(open),
            Err(error) => {
                tracing::warn!(%error, "falling back to the CPU backend");
                Ok(open_cpu())
            }
        },
    }
}

fn open_cpu() -> OpenDevice {
    OpenDevice {
        device: Device::flex(),
        info: DeviceInfo {
            kind: Kind::Cpu,
            name: "CPU (burn flex)".to_owned(),
            backend: String::new(),
            software: true,
            shares_memory: true,
            driver: String::new(),
        },
        subgroup: 0,
    }
}

async fn open_gpu() -> Result<OpenDevice, DeviceError> {
    if let Some(open) = gpu_slot().clone() {
        return Ok(open);
    }
    let (kind, api) = preferred_adapter().await?;
    let options = Device::wgpu_options()
        .device_kind(kind.clone())
        .graphics_api(api)
        .tasks_max(TASKS_MAX);
    // The slot stays locked while the device opens, so that two threads can't both open it; in a
    // browser there is one thread, and only the asynchronous call.
    #[cfg(not(target_arch = "wasm32"))]
    let mut slot = gpu_slot();
    #[cfg(not(target_arch = "wasm32"))]
    if let Some(open) = slot.clone() {
        return Ok(open);
    }
    // A read then begins where it is first polled, and not where its bytes are first looked at: the next step is
    // recorded while the device computes this one.
    #[cfg(not(target_arch = "wasm32"))]
    burn_std::set_runtime_kind(burn_std::RuntimeKind::Async);
    #[cfg(not(target_arch = "wasm32"))]
    let opened = options.init_with_setup();
    #[cfg(target_arch = "wasm32")]
    let opened = options.init_with_setup_async().await;
    #[cfg(target_arch = "wasm32")]
    let mut slot = gpu_slot();

    let (device, setup) = opened.map_err(|error| DeviceError::Refused {
        adapter: format!("{kind:?}"),
        reason: error.to_string(),
    })?;
    let info = setup.adapter.get_info();
    let subgroups = setup.device.features().contains(wgpu::Features::SUBGROUP);
    let fixed = subgroups && info.subgroup_min_size == info.subgroup_max_size;
    let open = OpenDevice {
        device,
        subgroup: if fixed {
            info.subgroup_min_size as usize
        } else {
            0
        },
        info: describe(&info),
    };
    *slot = Some(open.clone());
    Ok(open)
}

fn gpu_slot() -> std::sync::MutexGuard<'static, Option<OpenDevice>> {
    GPU.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The description of one adapter.
#[must_use]
pub fn describe(info: &wgpu::AdapterInfo) -> DeviceInfo {
    DeviceInfo {
        kind: Kind::Gpu,
        name: info.name.clone(),
        backend: info.backend.to_string(),
        software: info.device_type == wgpu::DeviceType::Cpu,
        shares_memory: matches!(
            info.device_type,
            wgpu::DeviceType::Cpu | wgpu::DeviceType::IntegratedGpu
        ),
        driver: format!("{} {}", info.driver, info.driver_info)
            .trim()
            .to_owned(),
    }
}

/// The adapter to ask burn for. A browser offers one and chooses it itself.
#[cfg(target_arch = "wasm32")]
async fn preferred_adapter() -> Result<(DeviceKind, WgpuBackend), DeviceError> {
    Ok((DeviceKind::DefaultDevice, WgpuBackend::Auto))
}

/// The adapter to ask burn for: the first of discrete, integrated, virtual and software that
/// exists. burn takes a software adapter only when it is named, and looks at other graphics APIs
/// only where none is.
#[cfg(not(target_arch = "wasm32"))]
async fn preferred_adapter() -> Result<(DeviceKind, WgpuBackend), DeviceError> {
    adapters()
        .await
        .iter()
        .filter_map(|adapter| rank(&adapter.get_info()))
        .min_by_key(|(rank, ..)| *rank)
        .map(|(_, kind, api)| (kind, api))
        .ok_or(DeviceError::NoAdapter)
}

#[cfg(not(target_arch = "wasm32"))]
fn rank(info: &wgpu::AdapterInfo) -> Option<(u8, DeviceKind, WgpuBackend)> {
    let (rank, kind) = match info.device_type {
        wgpu::DeviceType::DiscreteGpu => (0, DeviceKind::DiscreteGpu(0)),
        wgpu::DeviceType::IntegratedGpu => (1, DeviceKind::IntegratedGpu(0)),
        wgpu::DeviceType::VirtualGpu => (2, DeviceKind::VirtualGpu(0)),
        wgpu::DeviceType::Cpu => (3, DeviceKind::Cpu),
        wgpu::DeviceType::Other => return None,
    };
    let api = match info.backend {
        wgpu::Backend::Vulkan => WgpuBackend::Vulkan,
        wgpu::Backend::Metal => WgpuBackend::Metal,
        wgpu::Backend::Dx12 => WgpuBackend::Dx12,
        _ => WgpuBackend::Auto,
    };
    Some((rank, kind, api))
}

/// Every adapter of this machine that can compute (OpenGL is left out: it is no target of ours).
#[cfg(not(target_arch = "wasm32"))]
pub async fn adapters() -> Vec<wgpu::Adapter> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::PRIMARY;
    let instance = wgpu::Instance::new(descriptor);
    instance.enumerate_adapters(wgpu::Backends::PRIMARY).await
}
