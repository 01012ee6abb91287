#!/usr/bin/env bash
# `--engine` against our own server and against llama.cpp's, on one file: TPO's record beside a local one's, and la and amulet on
# a truncated support beside the local answers, token by token.
#
#   benches/engines/run.sh [MODEL]
#
# Build Periapt first (make build). PERIAPT_QUESTIONS (20) and PERIAPT_TOKENS (64) say how much is compared, PERIAPT_WHOLE (5) how
# many of the questions with the whole vocabulary as the support. Prints what came of it, and writes target/engines/result.json.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/lib.sh

folder=target/engines
if ! cmp -s benches/engines/requirements.txt $folder/requirements.txt; then
    say "installing llama.cpp's server"
    python3 -m venv $folder
    $folder/bin/python -m pip install -q --disable-pip-version-check -r benches/engines/requirements.txt
    cp benches/engines/requirements.txt $folder/
fi
exec $folder/bin/python benches/engines/compare.py "${1:-smollm2:135m}" $folder
