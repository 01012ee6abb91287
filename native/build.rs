//! Lists the page's files in `native/page` for the program to hold. Without a page the list is empty.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("page");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut files = Vec::new();
    collect(&root, "", &mut files)?;
    files.sort();
    let mut list =
        "/// Path, bytes, and when it was changed: seconds and nanoseconds since 1970.\n\
         pub static FILES: &[(&str, &[u8], u64, u32)] = &[\n"
            .to_owned();
    for name in files {
        let path = root.join(&name);
        let changed = fs::metadata(&path)?
            .modified()?
            .duration_since(UNIX_EPOCH)?;
        writeln!(
            list,
            "    ({name:?}, include_bytes!({path:?}), {}, {}),",
            changed.as_secs(),
            changed.subsec_nanos()
        )?;
    }
    list += "];\n";
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("page.rs"), list)?;
    Ok(())
}

/// The paths of all files below `folder`, with `/`; not the hidden ones, nor what the page's source says of itself.
fn collect(folder: &Path, prefix: &str, files: &mut Vec<String>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_str().ok_or("a name that is not UTF-8")?;
        if name.starts_with('.') || (prefix.is_empty() && name == "README.md") {
            continue;
        }
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &format!("{prefix}{name}/"), files)?;
        } else {
            files.push(format!("{prefix}{name}"));
        }
    }
    Ok(())
}
