//! Where a persona lies.

use crate::cli::{Usage, input};
use crate::output::{self, OutputError};
use periapt_core::persona::Persona;
use std::fs;
use std::path::{Path, PathBuf};

/// What names the user's own one.
const MINE: &str = "me";

/// The file that `--persona` names, or this user's own.
pub fn path(given: Option<&Path>) -> Result<PathBuf, Usage> {
    match given {
        Some(path) if path.as_os_str() != MINE => Ok(path.to_owned()),
        _ => crate::cli::data_folder()
            .map(|folder| folder.join("persona.json"))
            .map_err(|why| Usage(format!("{why}: name a place with --persona FILE"))),
    }
}

/// Reads what must be there.
pub fn read(path: &Path) -> Result<Persona, Usage> {
    if !path.exists() {
        return Err(Usage(format!(
            "there is no persona at {}: `periapt learn` makes one",
            path.display()
        )));
    }
    let text = input::whole_file("--persona", path)?;
    let wrong = |error| Usage(format!("--persona {}: {error}", path.display()));
    Persona::parse(&text).map_err(wrong)
}

/// Reads what is there, or begins anew.
pub fn read_or_new(path: &Path) -> Result<Persona, Usage> {
    match path.exists() {
        true => read(path),
        false => Ok(Persona::default()),
    }
}

/// Keeps it, for this user alone.
pub fn write(path: &Path, persona: &Persona) -> anyhow::Result<()> {
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        fs::create_dir_all(folder).map_err(|source| OutputError::Write {
            path: path.to_owned(),
            source,
        })?;
    }
    let made = output::make_private(path);
    made.map_err(|source| OutputError::Write {
        path: path.to_owned(),
        source,
    })?;
    let mut json = serde_json::to_vec_pretty(persona)?;
    json.push(b'\n');
    Ok(output::write_whole(path, &json)?)
}
