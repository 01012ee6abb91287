#!/usr/bin/env bash
# Periapt beside llama.cpp (CPU build and Vulkan build) and candle on the same file, in turns, in one run.
#
#   benches/compare/run.sh [MODEL.gguf]
#
# Build Periapt first (make build). Without a GPU, both Vulkan programs run on the same software adapter. Prints medians and ratios, and writes
# target/compare/result.json. What it installs goes into target/compare; a second run builds nothing.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/lib.sh

VERSION=0.3.16
SHA256=34ed0f9bd9431af045bb63d9324ae620ad0536653740e9bb163a2e1fcb973be6
FOLDER=${PERIAPT_COMPARE:-target/compare}
ROUNDS=${PERIAPT_ROUNDS:-3}
mkdir -p "$FOLDER"
MODEL=$(realpath "${1:-$(target/release/periapt models path smollm2:135m)}")

packages=()
for need in cmake:cmake ninja:ninja-build glslc:glslc g++:g++; do
    command -v "${need%%:*}" >/dev/null || packages+=("${need##*:}")
done
[ -e /usr/include/vulkan/vulkan.h ] || packages+=(libvulkan-dev)
[ -e /usr/include/spirv/unified1/spirv.hpp ] || packages+=(spirv-headers)
if [ ${#packages[@]} -gt 0 ]; then
    [ "$(id -u)" -eq 0 ] || fail "llama.cpp needs these packages: ${packages[*]}"
    say "installing ${packages[*]}"
    apt-get install -y -qq "${packages[@]}"
fi

# llama.cpp's own source, as the Python package llama-cpp-python carries it.
archive=$FOLDER/llama_cpp_python-$VERSION.tar.gz
if [ ! -e "$archive" ]; then
    say "downloading llama.cpp's source"
    pip download -q --no-binary :all: --no-deps -d "$FOLDER" "llama-cpp-python==$VERSION"
fi
echo "$SHA256  $archive" | sha256sum -c --quiet
source=$FOLDER/llama_cpp_python-$VERSION/vendor/llama.cpp
[ -d "$source" ] || tar xzf "$archive" -C "$FOLDER"

# The instruction sets one by one: -march=native would add AMX, whose kernels crash on some machines.
flags=()
for pair in avx2:AVX2 fma:FMA f16c:F16C bmi2:BMI2 avx512f:AVX512 avx512_vnni:AVX512_VNNI; do
    state=OFF
    if grep -qwm1 "${pair%%:*}" /proc/cpuinfo; then state=ON; fi
    flags+=("-DGGML_${pair##*:}=$state")
done
build() { # NAME CMAKE-FLAGS...
    local folder=$FOLDER/$1
    shift
    [ -x "$folder/bin/llama-batched-bench" ] && return
    say "building llama.cpp: $folder"
    cmake -S "$source" -B "$folder" -G Ninja -DCMAKE_BUILD_TYPE=Release -DLLAMA_CURL=OFF -DGGML_NATIVE=OFF \
        "${flags[@]}" "$@" >"$folder.log"
    cmake --build "$folder" --target llama-batched-bench >>"$folder.log"
}
build cpu -DGGML_VULKAN=OFF
build vulkan -DGGML_VULKAN=ON

say "building candle's quantized llama"
CARGO_TARGET_DIR=$FOLDER/candle cargo build -q --release --locked --manifest-path benches/compare/candle/Cargo.toml

exec python3 benches/compare/run.py "$MODEL" "$FOLDER" "$ROUNDS"
