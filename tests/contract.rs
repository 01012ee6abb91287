//! The page's types and fields are the engine's: `www/engine/src/contract.ts` is generated from core's contract.

use periapt_core::contract::typescript;
use std::path::Path;

#[test]
fn the_generated_contract_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../www/engine/src/contract.ts");
    let wanted = typescript::generate();
    if std::env::var_os("PERIAPT_UPDATE").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == wanted,
        "www/engine/src/contract.ts is stale: `make contract` writes it anew"
    );
}
