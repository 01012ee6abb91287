//! A model that is split into several files (`split.*` in the specification of ggml's `gguf-split`): their headers
//! become one.

use super::error::GgufError;
use super::metadata::Metadata;
use super::write::NewTensor;
use super::{Gguf, TensorInfo};
use std::io::{Read, Seek};

const NO: &str = "split.no";
const COUNT: &str = "split.count";
const TENSORS: &str = "split.tensors.count";

/// Where a file stands among those of a split model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split {
    /// Its number, from 0.
    pub no: u32,
    /// How many files there are, at least 2.
    pub count: u32,
}

impl Split {
    /// What a file's metadata says; `None` where it holds a whole model.
    ///
    /// # Errors
    ///
    /// [`GgufError::WrongType`].
    pub fn of(metadata: &Metadata) -> Result<Option<Self>, GgufError> {
        let count = metadata.opt_u32(COUNT)?.unwrap_or(1);
        let no = metadata.opt_u32(NO)?.unwrap_or(0);
        Ok((count > 1).then_some(Self { no, count }))
    }

    /// The names of all files of the model, in order, from the name of this one: `NAME-00001-of-00003.gguf` and so on.
    /// `None` where `name` is not of that form, or says otherwise than the metadata.
    #[must_use]
    pub fn file_names(self, name: &str) -> Option<Vec<String>> {
        // A name has five digits, so more files can't be.
        const MAX: u32 = 99_999;
        let Self { no, count } = self;
        if no >= count || count > MAX {
            return None;
        }
        let base = name.strip_suffix(&self.ending())?;
        let all = (0..count).map(|no| format!("{base}{}", Self { no, count }.ending()));
        Some(all.collect())
    }

    /// What the name of this file ends in.
    #[must_use]
    pub fn ending(self) -> String {
        format!("-{:05}-of-{:05}.gguf", u64::from(self.no) + 1, self.count)
    }

    /// A file's path without `.gguf`, and without `-00001-of-00003` before it: what all files of a model share.
    #[must_use]
    pub fn stem(path: &str) -> &str {
        let stem = path.strip_suffix(".gguf").unwrap_or(path);
        let split = stem.len().checked_sub("-00001-of-00003".len());
        let Some((rest, part)) = split.and_then(|at| stem.split_at_checked(at)) else {
            return stem;
        };
        match part.replace(|c: char| c.is_ascii_digit(), "0").as_str() {
            "-00000-of-00000" => rest,
            _ => stem,
        }
    }
}

/// A model's GGUF file, or all of its files: one header and the tensors' bytes.
#[derive(Debug)]
pub struct GgufFiles<R> {
    gguf: Gguf,
    /// Each file with its tensors.
    files: Vec<(R, Vec<TensorInfo>)>,
    /// For each tensor of the model its file, and its index there.
    locations: Vec<(usize, usize)>,
}

impl<R: Read + Seek> GgufFiles<R> {
    /// A model in one file.
    ///
    /// # Errors
    ///
    /// [`GgufError`] as of [`Gguf::read`], and [`GgufError::SplitAlone`].
    pub fn one(mut reader: R) -> Result<Self, GgufError> {
        let gguf = Gguf::read(&mut reader)?;
        if let Some(Split { no, count }) = Split::of(&gguf.metadata)? {
            return Err(GgufError::SplitAlone { no, count });
        }
        Ok(Self {
            locations: (0..gguf.tensors.len()).map(|index| (0, index)).collect(),
            files: vec![(reader, gguf.tensors.clone())],
            gguf,
        })
    }

    /// A model in several files, in order, each with its name. The metadata are the first one's.
    ///
    /// # Errors
    ///
    /// [`GgufError`] as of [`Gguf::read`], and [`GgufError::Split`] where a file is another than it should be.
    pub fn split(readers: Vec<(String, R)>) -> Result<Self, GgufError> {
        let count = readers.len();
        let (mut files, mut locations, mut tensors) = (Vec::new(), Vec::new(), Vec::new());
        let (mut wanted, mut metadata) = (None, Metadata::default());
        for (number, (file, mut reader)) in readers.into_iter().enumerate() {
            let gguf = Gguf::read(&mut reader)?;
            let wrong = |problem: String| GgufError::Split {
                file: file.clone(),
                problem,
            };
            match Split::of(&gguf.metadata)? {
                Some(split) if (split.no as usize, split.count as usize) == (number, count) => {}
                Some(Split { no, count: of }) => {
                    let got = format!("it says that it is file {} of {of}", u64::from(no) + 1);
                    return Err(wrong(format!("{got}, and not {} of {count}", number + 1)));
                }
                None => return Err(wrong("it says that it is a whole model".to_owned())),
            }
            if number == 0 {
                wanted = gguf.metadata.opt_u32(TENSORS)?;
                metadata = gguf.metadata;
            }
            locations.extend((0..gguf.tensors.len()).map(|index| (number, index)));
            tensors.extend(gguf.tensors.iter().map(NewTensor::from));
            if number + 1 == count
                && let Some(wanted) = wanted
                && wanted as usize != tensors.len()
            {
                let got = tensors.len();
                return Err(wrong(format!(
                    "the first file tells of {wanted} tensors, and all together have {got}"
                )));
            }
            files.push((reader, gguf.tensors));
        }
        for key in [NO, COUNT, TENSORS] {
            metadata.remove(key);
        }
        Ok(Self {
            gguf: Gguf::new(&metadata, &tensors)?,
            files,
            locations,
        })
    }

    /// The header: of the one file, or what the whole model's would be.
    #[must_use]
    pub fn gguf(&self) -> &Gguf {
        &self.gguf
    }

    /// The bytes of the tensor with that index in [`GgufFiles::gguf`].
    ///
    /// # Errors
    ///
    /// As of [`Gguf::read_tensor`].
    pub fn read(&mut self, index: usize) -> Result<Vec<u8>, GgufError> {
        let (file, index) = self.locations[index];
        let (reader, tensors) = &mut self.files[file];
        self.gguf.read_tensor(reader, &tensors[index])
    }
}
