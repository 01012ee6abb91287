#!/usr/bin/env bash
# Installs what a fresh machine lacks. Each part looks first and does nothing where all is there.
#
#   scripts/setup.sh native    what the command line needs: Rust, a C compiler, a Vulkan driver, pip
#   scripts/setup.sh wasm      what the page's build needs: Rust for WASM, Node.js modules
#   scripts/setup.sh browser   what the page's test needs: Chromium
#   scripts/setup.sh clients   what the server's test needs beside it: OpenAI's Python package
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

vulkan_driver() {
    [ "$(uname -s)" = Linux ] || return 0 # Metal and DirectX come with their systems.
    local driver
    for driver in "${VK_DRIVER_FILES:-}" "${VK_ICD_FILENAMES:-}" /usr/share/vulkan/icd.d/*.json \
        /etc/vulkan/icd.d/*.json /usr/local/share/vulkan/icd.d/*.json; do
        [ -n "$driver" ] && [ -e "${driver%%:*}" ] && return 0
    done
    return 1
}

native() {
    have cargo || fail "Rust is missing; install it (https://www.rust-lang.org/tools/install), then run this again"
    have cc || install "a C compiler" gcc libc6-dev
    # Where the hub can't be reached, models come in Python packages.
    if ! have python3; then
        install "Python with pip" python3 python3-pip
    elif ! python3 -m pip --version >/dev/null 2>&1; then
        install "pip" python3-pip
    fi
    vulkan_driver || install "a Vulkan driver that needs no GPU" mesa-vulkan-drivers libvulkan1
}

wasm() {
    have node || fail "Node.js is missing; install version 20.19 or newer (https://nodejs.org), then run this again"
    have npm || install "npm" npm
    node -e 'const [a, b] = process.versions.node.split(".").map(Number);
        process.exit(a > 22 || (a === 22 && b >= 12) || (a === 20 && b >= 19) ? 0 : 1)' ||
        fail "Node.js $(node --version) is too old; install 20.19, or 22.12 or newer"
    if ! rust_has_wasm && ! debian_builds_wasm; then
        say "adding Rust's WASM target"
        if ! have rustup || ! rustup target add "$WASM_TRIPLE" || ! rust_has_wasm; then
            echo "The toolchain's own can't be had here; Debian's compiler builds it instead."
            install "Rust for WASM" rustc-web cargo-web rust-web-src rust-web-llvm
            # The linker's package is called as the version that this compiler wants.
            have rust-lld || install "its linker" "$(readlink /usr/bin/rust-lld)"
        fi
    fi
    if ! [ www/node_modules/.package-lock.json -nt www/package-lock.json ]; then
        say "installing the page's build tools (about 340 MB, a minute)"
        # Nothing of a package runs here before the build asks for it; npm holds each against its hash in the lock file.
        (cd www && npm ci --ignore-scripts)
        touch www/node_modules/.package-lock.json
    fi
}

browser() {
    local there
    for there in "${PERIAPT_CHROMIUM:-}" /usr/bin/chromium /usr/bin/google-chrome; do
        [ -n "$there" ] && [ -x "$there" ] && return 0
    done
    install "Chromium" chromium
}

clients() {
    local list=tests/clients/requirements.txt folder=target/clients
    cmp -s $list $folder/requirements.txt && return 0
    say "installing OpenAI's Python package, for the server's test (46 MB, ten seconds)"
    rm -rf $folder
    # Into a folder of its own, which needs neither a virtual environment nor any right beyond it.
    python3 -m pip install -q --disable-pip-version-check --root-user-action=ignore --no-deps --target $folder -r $list
    cp $list $folder/
}

[ $# -gt 0 ] || fail "usage: scripts/setup.sh native|wasm|browser|clients ..."
for part in "$@"; do
    case $part in
        native | wasm | browser | clients) "$part" ;;
        *) fail "no part is called '$part'; the parts are native, wasm, browser and clients" ;;
    esac
done
