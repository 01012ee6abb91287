#!/usr/bin/env bash
# Packs what run.sh needs on another machine with a GPU into target/device (under 60 MiB, nothing of it tracked): the
# command line and the kernels' and tiny models' tests, built here for x86-64 and this glibc
# (2.36 on Debian 12), stripped; and the Vulkan loader as Debian packages it.
#
#     benches/device/pack.sh && tar -cf kit.tar benches/device target/device tests/fixtures    # carry this
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/lib.sh

kit=target/device
tests=(twins)
mkdir -p $kit
rm -f $kit/*.xz $kit/root

build=(--release --locked --workspace --exclude periapt-web)
cargo build "${build[@]}"
cargo test "${build[@]}" --no-run --message-format=json "${tests[@]/#/--test=}" 2>/dev/null |
    node -e '
        const lines = require("fs").readFileSync(0, "utf8").split("\n").filter(Boolean).map(l => JSON.parse(l));
        for (const l of lines) if (l.executable && l.target.kind[0] === "test") console.log(l.target.name, l.executable);
    ' >$kit/tests
pack() {
    strip -o "$kit/$2" "$1"
    xz -T0 -3 -f "$kit/$2"
}
pack target/release/periapt periapt
while read -r name file; do pack "$file" "test-$name"; done <$kit/tests
rm $kit/tests
# Tests look for their fixtures where they were built.
pwd >$kit/root
# NVIDIA's driver wants the neutral GL libraries beside the loader.
if ! ls $kit/libvulkan1_*.deb >/dev/null 2>&1; then
    (cd $kit && apt-get download libvulkan1 libegl1 libglvnd0 libopengl0 libgl1 libglx0 libgles2)
fi
du -sh $kit
[ "$(du -sm $kit | cut -f1)" -lt 60 ] || fail "the kit is larger than 60 MiB"
