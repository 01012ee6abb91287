#!/usr/bin/env bash
# Builds the page into www/dist, a folder that any static host can serve: the engine as WASM, its
# JavaScript bindings, wasm-opt, Vite. Steps whose input did not change are skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

scripts/setup.sh native wasm

say "building the engine for WASM (about 10 minutes the first time, on two cores)"
wasm_cargo build --release --locked -p periapt-web
module=$WASM_TARGET_DIR/$WASM_TRIPLE/release/periapt_web.wasm

# The workspace's features, so that nothing is compiled twice; of its programs this one alone.
cargo build --release --locked --workspace --exclude periapt-web --bin periapt-bindgen
bindgen=target/release/periapt-bindgen

engine=www/engine/wasm
if ! [ "$engine/periapt_web_bg.wasm" -nt "$module" ] || ! [ "$engine/periapt_web_bg.wasm" -nt "$bindgen" ]; then
    say "making the module small and its bindings (about two minutes)"
    rm -rf "$engine" target/bindgen
    "$bindgen" "$module" target/bindgen
    www/node_modules/.bin/wasm-opt -O1 \
        --enable-bulk-memory --enable-multivalue --enable-mutable-globals \
        --enable-nontrapping-float-to-int --enable-reference-types --enable-sign-ext --enable-simd \
        target/bindgen/periapt_web_bg.wasm -o target/bindgen/optimized.wasm
    mv target/bindgen/optimized.wasm target/bindgen/periapt_web_bg.wasm
    mv target/bindgen "$engine"
    touch "$engine/periapt_web_bg.wasm"
fi

say "bundling the page"
(cd www && npm run --silent build)
node scripts/compress.mjs

# The program holds the page, too (native/build.rs); only where the page is another one, it is built anew.
embedded=native/page
if ! diff -rq -x '*.br' -x '*.gz' -x .gitignore -x README.md www/dist "$embedded" >/dev/null; then
    find "$embedded" -mindepth 1 ! -name .gitignore ! -path "$embedded/README.md" -delete
    (cd www/dist && find . -type f ! -name '*.br' ! -name '*.gz' -print0 | tar -c --null -T - -f -) | tar -x -C "$embedded" -f -
fi
say "building the page into periapt"
cargo build --release --locked --workspace --exclude periapt-web
echo "The page is in www/dist, and in target/release/periapt."
