#!/usr/bin/env bash
# lm-eval's `local-completions` against `periapt serve`, beside `periapt score`'s log-probabilities of the same texts.
#
#   benches/harness/run.sh [MODEL]
#
# Build Periapt first (make build). Prints the largest difference in nats; ends with an error where it is above 1e-3. What it
# installs goes into target/harness (about 760 MB).
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/lib.sh

folder=target/harness
if ! cmp -s benches/harness/requirements.txt $folder/requirements.txt; then
    say "installing lm-eval (two minutes)"
    python3 -m venv $folder
    $folder/bin/python -m pip install -q --disable-pip-version-check -r benches/harness/requirements.txt
    cp benches/harness/requirements.txt $folder/
fi
exec $folder/bin/python benches/harness/harness.py "${1:-smollm2:135m}" $folder
