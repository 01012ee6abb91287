//! Without an exported `__wasm_call_ctors` the WASM linker takes the module for a command that runs once, and calls
//! every constructor of the program (the registries of cubecl's compiler, thousands of functions) at each call into
//! the module: a decode step took 1.1 s for that alone. Exported, they run once, when the worker starts.

fn main() {
    println!("cargo::rustc-link-arg-cdylib=--export=__wasm_call_ctors");
    println!("cargo::rerun-if-changed=build.rs");
}
