//! Any bytes as a hub folder: config.json, index and one safetensors file, one after the other with a NUL between.
//! Every shard that the index names is that file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use periapt_fuzz::formats::hub::HubFiles;
use periapt_fuzz::formats::safetensors::Header;
use std::io::Cursor;

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(3, |byte| *byte == 0);
    let mut next = || parts.next().unwrap_or_default();
    let (config, index, file) = (next(), next(), next());
    let _ = Header::read(&mut Cursor::new(file));
    let files = HubFiles::read("model", &mut |name| {
        Ok(match name {
            "config.json" => Some(Cursor::new(config)),
            "tokenizer.json" => Some(Cursor::new(&b"{}"[..])),
            "model.safetensors.index.json" if !index.is_empty() => Some(Cursor::new(index)),
            name if name.ends_with(".safetensors") => Some(Cursor::new(file)),
            _ => None,
        })
    });
    let Ok(mut folder) = files.and_then(|files| files.finish(Vec::new())) else {
        return;
    };
    for index in 0..folder.gguf().tensors.len() {
        let _ = folder.read(index);
    }
});
