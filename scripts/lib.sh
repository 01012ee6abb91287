# Shared by the scripts beside it: `. scripts/lib.sh` from the repository's root, in bash.
# shellcheck shell=bash

# The WASM build keeps a target directory of its own: another compiler may be at work there.
WASM_TARGET_DIR=target/wasm
WASM_TRIPLE=wasm32-unknown-unknown

# Without a desktop, Mesa's device chooser complains on stderr once for every look at the adapters.
export NODEVICE_SELECT=1

say() { printf '\n==> %s\n' "$*"; }

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# install WHAT PACKAGE...: WHAT from Debian's packages, where this machine has those.
install() {
    local what=$1 as_root=()
    shift
    have apt-get || fail "$what is missing; install it and run this again (on Debian: $*)"
    if [ "$(id -u)" != 0 ]; then
        if ! have sudo || ! sudo -n true 2>/dev/null; then
            fail "$what is missing; run 'apt-get install $*' as root, then this again"
        fi
        as_root=(sudo)
    fi
    say "installing $what ($*)"
    # Read the lists first: on a fresh machine there are none, or they are out of date.
    "${as_root[@]}" apt-get update -q || echo "apt-get update failed; trying with the lists there are" >&2
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -q --no-install-recommends --no-remove "$@" ||
        fail "$what could not be installed; install it by hand (on Debian: $*)"
}

# True where the Rust toolchain has a standard library for WASM.
rust_has_wasm() {
    local std
    for std in "$(rustc --print sysroot)/lib/rustlib/$WASM_TRIPLE/lib"/libstd-*; do
        [ -e "$std" ] && return 0
    done
    return 1
}

# True where Debian's own compiler can build that library (packages rustc-web and others).
debian_builds_wasm() {
    [ -e /usr/lib/rustlib/src/rust/library/std/Cargo.toml ] && have /usr/bin/cargo && have /usr/bin/rust-lld &&
        dpkg -s rustc-web >/dev/null 2>&1
}

# cargo for WASM, whichever of both builds it.
wasm_cargo() {
    local command=$1
    shift
    if rust_has_wasm; then
        CARGO_TARGET_DIR=$WASM_TARGET_DIR cargo "$command" --target "$WASM_TRIPLE" "$@"
    else
        PATH=/usr/bin:/bin RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$WASM_TARGET_DIR \
            cargo "$command" --target "$WASM_TRIPLE" -Z build-std=std,panic_abort "$@"
    fi
}
