#!/usr/bin/env bash
# Runs on the machine with the GPU, from the folder that the kit was unpacked in: first what it is, then the tests with
# nothing allowed to skip, then the measurements. Ends within seven minutes; results go to the folder OUT as JSON.
#
#     benches/device/run.sh OUT [tests|bench ...]
set -uo pipefail
cd "$(dirname "$0")/../.." || exit
out=$(realpath "${1:?usage: benches/device/run.sh OUT [tests|bench ...]}")
shift
[ $# -gt 0 ] || set -- tests bench
kit=target/device
bin=$(mktemp -d)
export PERIAPT_MODELS=$bin/models PERIAPT_REQUIRE_ALL=1 NODEVICE_SELECT=1

for packed in "$kit"/*.xz; do
    name=$(basename "${packed%.xz}")
    # Python is there where xz may not be.
    xz -dc "$packed" >"$bin/$name" 2>/dev/null ||
        python3 -c 'import lzma, shutil, sys; shutil.copyfileobj(lzma.open(sys.argv[1]), open(sys.argv[2], "wb"))' \
            "$packed" "$bin/$name"
    chmod +x "$bin/$name"
done
root=$(cat $kit/root)
if [ "$root" != "$PWD" ] && ! [ -e "$root" ]; then
    mkdir -p "$(dirname "$root")" && ln -s "$PWD" "$root"
fi
if ! ldconfig -p | grep -q libvulkan.so.1; then
    for package in "$kit"/*.deb; do dpkg -x "$package" /; done
    ldconfig
fi
driver=/usr/local/nvidia/share/vulkan/icd.d/nvidia_icd.json
if ! ls /usr/share/vulkan/icd.d/*.json /etc/vulkan/icd.d/*.json >/dev/null 2>&1 && [ -e $driver ]; then
    export VK_DRIVER_FILES=$driver
fi

say() { printf '%6d s  %s\n' $SECONDS "$*"; }
say "what this machine is"
timeout 60 "$bin/periapt" doctor --json >"$out/doctor.json" 2>"$out/doctor.log" || cat "$out/doctor.log"
grep -v '^ *$' "$out/doctor.json" | head -60

for what in "$@"; do
    case $what in
        tests)
            for test in "$bin"/test-*; do
                # One at a time: NVIDIA's driver 580 corrupted the heap while several threads had kernels compiled.
                timeout 120 "$test" --test-threads=1 >"$bin/log" 2>&1
                say "$(basename "$test"): status $?, $(grep '^test result' "$bin/log")"
                { echo "== $(basename "$test")"; cat "$bin/log"; } >>"$out/tests.log"
                grep -A12 -E 'FAILED|panicked|SKIPPED' "$bin/log" | head -60
            done
            ;;
        bench)
            while read -r name options; do
                # shellcheck disable=SC2086
                timeout 100 "$bin/periapt" bench --json --device gpu $options >"$out/bench-$name.json" 2>"$bin/log"
                say "bench $name: status $?"
                cat "$bin/log"
            done <benches/device/measurements
            ;;
        *)
            echo "no part is called '$what'; the parts are tests and bench" >&2
            exit 2
            ;;
    esac
done
say "done"
