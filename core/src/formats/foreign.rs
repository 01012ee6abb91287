//! What lies where a model's file should: told by how it begins, so that a person learns what happened.

/// So many bytes of a file tell what it is.
pub const BEGIN: usize = 512;

/// Beginnings of other kinds of files, and what is said of them. The first that fits counts.
const KINDS: [(&[u8], &str); 39] = [
    (
        b"version https://git-lfs.github.com/spec/",
        "a Git LFS pointer: the file itself was not fetched; run `git lfs pull`, or download the file",
    ),
    (
        b"version https://hawser.github.com/spec/",
        "a Git LFS pointer: the file itself was not fetched; run `git lfs pull`, or download the file",
    ),
    (
        b"/annex/objects/",
        "a git-annex pointer: the file itself was not fetched; run `git annex get`",
    ),
    (b"lmgg", "a GGML file, an old format; get the model as GGUF"),
    (b"fmgg", "a GGMF file, an old format; get the model as GGUF"),
    (b"tjgg", "a GGJT file, an old format; get the model as GGUF"),
    (b"algg", "a GGML LoRA adapter, an old format, and no model"),
    (b"nsgg", "a saved session of llama.cpp, and no model"),
    (b"qsgg", "a saved session of llama.cpp, and no model"),
    (b"ggml", "a GGML file, an old format; get the model as GGUF"),
    (b"ggjt", "a GGJT file, an old format; get the model as GGUF"),
    (
        b"FUGG",
        "a big-endian GGUF file, which is not supported; get the little-endian file",
    ),
    (b"GGUF", "a GGUF file"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
    (b"BZh", "a bzip2 archive; unpack it first"),
    (b"\xfd7zXZ\0", "an xz archive; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive; unpack it first"),
    (b"\x04\x22\x4d\x18", "an lz4 archive; unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first"),
    (b"Rar!\x1a\x07", "a RAR archive; unpack it first"),
    (b"%PDF-", "a PDF document"),
    (
        b"\x89HDF\r\n\x1a\n",
        "an HDF5 file, as Keras writes weights; get the model as GGUF, or its folder with *.safetensors",
    ),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"RIFF", "a RIFF file, such as a WebP image or a WAV sound"),
    (b"OggS", "an Ogg file"),
    (b"fLaC", "a FLAC file"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program for Windows"),
    (b"\xcf\xfa\xed\xfe", "a program for macOS"),
    (b"#!", "a script"),
    (
        b"\0\x05\x16\x07",
        "what macOS keeps beside a file whose name is the same without `._`",
    ),
    (b"\xff\xfe", "a text in UTF-16"),
    (b"\xfe\xff", "a text in UTF-16"),
    (b"-----BEGIN ", "a key or a certificate"),
];

/// What a file is whose first bytes, up to [`BEGIN`], are `begin`; `None` where they tell nothing.
#[must_use]
pub fn what(begin: &[u8]) -> Option<String> {
    if begin.is_empty() {
        return Some("an empty file; was it downloaded at all?".to_owned());
    }
    if begin.len() >= 8 && begin.iter().all(|byte| *byte == 0) {
        return Some("a file of zero bytes; its download broke off, get it anew".to_owned());
    }
    let known = KINDS.iter().find(|(start, _)| begin.starts_with(start));
    let known = known.map(|(_, what)| *what).or_else(|| structured(begin));
    known.map(str::to_owned).or_else(|| text(begin))
}

/// Whether a file that begins so only points to the one that is wanted.
#[must_use]
pub fn is_pointer(begin: &[u8]) -> bool {
    KINDS[..3].iter().any(|(start, _)| begin.starts_with(start))
}

/// Kinds that more than a fixed beginning tells.
fn structured(begin: &[u8]) -> Option<&'static str> {
    const PYTORCH: &str = "weights in PyTorch's own format (.bin, .pt, .pth); get the model as GGUF, or its folder with *.safetensors";
    let has = |text: &[u8]| begin.windows(text.len()).any(|window| window == text);
    let length = begin
        .first_chunk()
        .map_or(u64::MAX, |bytes| u64::from_le_bytes(*bytes));
    Some(match begin {
        [b'P', b'K', 3, 4, ..] if has(b"data.pkl") => PYTORCH,
        [b'P', b'K', 3, 4, ..] => {
            "a zip archive: of PyTorch (.bin, .pt, .pth) it has weights in a format that is not read; another is to be \
             unpacked first"
        }
        // A pickle's protocol, and what Python's pickles go on with.
        [0x80, 2..=5, b'}' | b']' | b'(' | b'c' | b'\x8a' | 0x95, ..] => PYTORCH,
        // A protocol buffer: the version, and who made it.
        [8, 1..=32, 0x12, length, first, ..] if *length < 64 && first.is_ascii_alphabetic() => {
            "an ONNX model; get the model as GGUF, or its folder with *.safetensors"
        }
        [_, _, _, _, b'T', b'F', b'L', b'3', ..] => {
            "a TensorFlow Lite model; get the model as GGUF, or its folder with *.safetensors"
        }
        _ if begin.get(257..262) == Some(b"ustar") => "a tar archive; unpack it first",
        _ if (2..=1 << 32).contains(&length) && begin.get(8) == Some(&b'{') => {
            "a safetensors file; give the folder it lies in, with config.json and tokenizer.json"
        }
        _ => return None,
    })
}

/// A text: a page, JSON, or what it begins with.
fn text(begin: &[u8]) -> Option<String> {
    let text = match std::str::from_utf8(begin) {
        Ok(text) => text,
        // The last character may be cut.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&begin[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let odd = |c: char| c.is_control() && !c.is_whitespace();
    if text.is_empty() || text.contains(odd) {
        return None;
    }
    let low = text.to_ascii_lowercase();
    let page = [
        "<!doctype html",
        "<html",
        "<head",
        "<body",
        "<!--",
        "<script",
    ];
    Some(if page.iter().any(|start| low.starts_with(start)) {
        "a web page (HTML): the address it was fetched from is not that of the file itself, or asks for a login; get \
         the file anew"
            .to_owned()
    } else if low.starts_with("<?xml") {
        "XML, such as a server answers with where something went wrong; get the file anew"
            .to_owned()
    } else {
        // A server's reason is worth reading.
        let short: String = text.chars().take(60).collect();
        let json = match text.starts_with(['{', '[']) {
            true => "JSON",
            false => "a text",
        };
        format!("{json} that begins with {short:?}")
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// The beginnings are those of files(1)'s magic and of the formats' own descriptions; each row with a report of
    /// somebody who met it.
    #[test]
    fn what_lies_in_a_models_place_is_named() {
        let mut tar = vec![b'm'; 257];
        tar.extend(b"ustar\x0000");
        let safetensors = [&60u64.to_le_bytes()[..], b"{\"__metadata__\":{}"].concat();
        let cut = [&b"<!DOCTYPE html>"[..], "é".repeat(300).as_bytes()].concat();
        let rows: &[(&[u8], &str)] = &[
            // https://github.com/ollama/ollama/issues/3010: 134 bytes in place of the weights.
            (
                b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
                "Git LFS pointer",
            ),
            // https://github.com/ggml-org/llama.cpp/issues/3358
            (b"<!DOCTYPE html><html></html>", "a web page"),
            (b"\xef\xbb\xbf\r\n <HTML lang=en>", "a web page"),
            (&cut[..BEGIN], "a web page"),
            (
                b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code>",
                "XML",
            ),
            // What the hub answers where there is no such repository or file, saved by a tool that does not look.
            (
                b"{\"error\":\"Repository not found\"}",
                "Repository not found",
            ),
            (b"Entry not found", "\"Entry not found\""),
            (b"Invalid username or password.\x0a", "Invalid username"),
            (&safetensors, "a safetensors file; give the folder"),
            // https://github.com/ggml-org/llama.cpp/issues/3905 (its last comments): .bin files, zipped and pickled.
            (
                b"PK\x03\x04\0\0\x08\x08\0\0archive/data.pkl",
                "PyTorch's own format",
            ),
            (b"PK\x03\x04\x14\0\0\0\x08\0model.gguf", "a zip archive"),
            (b"\x80\x02}q\0X\x05\0\0\0", "PyTorch's own format"),
            (b"\x80\x02\x8a\nl\xfc\x9cF\xf9", "PyTorch's own format"),
            (b"\x08\x07\x12\x07pytorch\x1a\x05", "an ONNX model"),
            (b"\x1f\x8b\x08\0\0\0", "a gzip archive"),
            (&tar, "a tar archive"),
            (b"%PDF-1.7", "a PDF"),
            // https://github.com/ggml-org/llama.cpp/issues/3492, https://github.com/nomic-ai/pygpt4all/issues/17: before GGUF.
            (b"tjgg\x03\0\0\0", "a GGJT file, an old format"),
            (b"fmgg\x01\0\0\0", "a GGMF file"),
            (b"lmgg\0\0\0\0", "a GGML file"),
            (b"algg\x01\0\0\0", "LoRA adapter"),
            (b"FUGG\0\0\0\x03", "big-endian"),
            (b"", "an empty file"),
            // https://github.com/unslothai/unsloth/issues/1500
            (&[0; BEGIN], "zero bytes"),
            (b"\x89HDF\r\n\x1a\n\0", "HDF5"),
            (b"\x20\0\0\0TFL3", "TensorFlow Lite"),
            (b"\0\x05\x16\x07\0\x02", "macOS keeps"),
            (b"\xff\xfe{\0", "UTF-16"),
            (b"7z\xbc\xaf\x27\x1c\0\x04", "a 7z archive"),
            (b"\x28\xb5\x2f\xfd\x04", "a zstd archive"),
            (b"\x7fELF\x02", "a program"),
        ];
        for (begin, says) in rows {
            let what = what(begin).unwrap_or_default();
            assert!(what.contains(says), "{begin:?}: {what}");
        }
        assert_eq!(what(b"\x01\x02\x03\x9f\xfe"), None);
        // Nothing of it reaches a terminal as it is.
        let what = what("\u{202e}\u{9b}31m".as_bytes());
        assert!(what.is_none_or(|what| !what.contains(['\u{9b}', '\u{202e}'])));
    }

    #[test]
    fn any_bytes_are_looked_at_without_harm() {
        let mut state = 1u64;
        for _ in 0..20_000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let length = (state >> 60) as usize;
            let bytes: Vec<u8> = (0..length)
                .map(|at| (state >> (at % 8 * 7)) as u8)
                .collect();
            for (start, _) in KINDS {
                let whole = [start, &bytes].concat();
                for end in 0..whole.len() {
                    let _ = what(&whole[..end]);
                }
            }
            if state.is_multiple_of(64) {
                break;
            }
        }
    }
}
