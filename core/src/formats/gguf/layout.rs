//! Where tensors lie, and whether they can lie there.

use super::TensorInfo;
use super::error::GgufError;
use super::limits::MAX_TENSOR_BYTES;
use super::metadata::Metadata;
use super::tensor_type::TensorType;
use std::collections::HashSet;

/// The alignment where the metadata gives none.
const DEFAULT_ALIGNMENT: u32 = 32;

/// A tensor as the header gives it.
#[derive(Debug)]
pub(super) struct RawTensor {
    pub(super) name: String,
    /// Row-major.
    pub(super) shape: Vec<u64>,
    /// The type's number.
    pub(super) dtype: u32,
    /// From the start of the data.
    pub(super) offset: u64,
}

/// The file's alignment in bytes.
pub(super) fn alignment(metadata: &Metadata) -> Result<u64, GgufError> {
    let alignment = metadata
        .opt_u32("general.alignment")?
        .unwrap_or(DEFAULT_ALIGNMENT);
    match alignment >= 8 && alignment.is_power_of_two() {
        true => Ok(alignment.into()),
        false => Err(GgufError::Alignment(alignment)),
    }
}

/// The bytes of a tensor of that row-major shape, or why there can be none such.
pub(super) fn tensor_bytes(dtype: TensorType, shape: &[u64]) -> Result<u64, String> {
    let row = shape.last().copied().unwrap_or(1);
    let block = dtype.block_size() as u64;
    if row % block != 0 {
        return Err(format!(
            "{dtype} needs rows of a multiple of {block} elements"
        ));
    }
    if shape.contains(&0) {
        return Err("it has no elements".to_owned());
    }
    shape
        .iter()
        .try_fold(1_u64, |elements, size| elements.checked_mul(*size))
        // Elements must be countable on this machine too, which may have 32 bits.
        .filter(|elements| usize::try_from(*elements).is_ok())
        .and_then(|elements| (elements / block).checked_mul(dtype.block_bytes() as u64))
        .filter(|bytes| *bytes <= MAX_TENSOR_BYTES && usize::try_from(*bytes).is_ok())
        .ok_or_else(|| "it is too large for this reader or this machine".to_owned())
}

/// Checks a tensor by itself. The offset of the result is still from the start of the data.
pub(super) fn tensor_info(raw: RawTensor, alignment: u64) -> Result<TensorInfo, GgufError> {
    let RawTensor {
        name,
        shape,
        dtype,
        offset,
    } = raw;
    let dtype = match TensorType::from_id(dtype) {
        Ok(dtype) => dtype,
        Err(dtype) => {
            return Err(GgufError::UnsupportedType {
                tensor: name,
                dtype,
            });
        }
    };
    let bytes = match tensor_bytes(dtype, &shape) {
        Ok(bytes) => bytes,
        Err(problem) => {
            return Err(GgufError::Shape {
                tensor: name,
                shape,
                problem,
            });
        }
    };
    if offset % alignment != 0 {
        return Err(GgufError::Misaligned {
            tensor: name,
            offset,
            alignment,
        });
    }
    Ok(TensorInfo {
        name,
        // None is 0 and their product fits, so each of them fits.
        shape: shape.into_iter().map(|size| size as usize).collect(),
        dtype,
        offset,
        bytes,
    })
}

/// Makes the tensors' offsets absolute, and checks the tensors against each other and against the
/// file's length where it is known.
pub(super) fn place(
    tensors: &mut [TensorInfo],
    data_offset: u64,
    len: Option<u64>,
) -> Result<(), GgufError> {
    for info in tensors.iter_mut() {
        let end = info.offset.checked_add(data_offset + info.bytes);
        if end.is_none() {
            return Err(beyond_end(info, len.unwrap_or(u64::MAX)));
        }
        info.offset += data_offset;
        if let Some(len) = len {
            check_inside(info, len)?;
        }
    }
    let mut names = HashSet::new();
    if let Some(twin) = tensors.iter().find(|info| !names.insert(&info.name)) {
        return Err(GgufError::Duplicate {
            what: "tensor",
            name: twin.name.clone(),
        });
    }
    let order = file_order(tensors);
    for pair in order.windows(2) {
        let [first, second] = [&tensors[pair[0]], &tensors[pair[1]]];
        if first.end() > second.offset {
            return Err(GgufError::Overlap {
                first: first.name.clone(),
                second: second.name.clone(),
            });
        }
    }
    Ok(())
}

/// An error where the tensor ends past a file of `len` bytes.
pub(super) fn check_inside(info: &TensorInfo, len: u64) -> Result<(), GgufError> {
    match info.end() <= len {
        true => Ok(()),
        false => Err(beyond_end(info, len)),
    }
}

fn beyond_end(info: &TensorInfo, len: u64) -> GgufError {
    GgufError::BeyondEnd {
        place: format!("tensor {}", info.name),
        offset: info.offset,
        wanted: info.bytes,
        left: len.saturating_sub(info.offset),
    }
}

/// The tensors' indices in the order of their bytes.
pub(super) fn file_order(tensors: &[TensorInfo]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..tensors.len()).collect();
    order.sort_by_key(|index| tensors[*index].offset);
    order
}
