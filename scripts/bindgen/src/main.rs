//! wasm-bindgen's command for `scripts/web.sh`, cut down to what that needs. A crate of this
//! workspace rather than an installed `wasm-bindgen-cli`: its version has to equal the library's,
//! and so both come from one lock file.

use wasm_bindgen_cli_support::Bindgen;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let (Some(module), Some(folder), None) = (args.next(), args.next(), args.next()) else {
        anyhow::bail!("usage: periapt-bindgen MODULE.wasm FOLDER");
    };
    Bindgen::new()
        .input_path(module)
        .web(true)?
        .typescript(true)
        // The package names the file (www/engine/src/index.ts).
        .omit_default_module_path(true)
        .remove_name_section(true)
        .remove_producers_section(true)
        .generate(folder)
}
