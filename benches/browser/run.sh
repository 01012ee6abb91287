#!/usr/bin/env bash
# Installs the peers and measures decoding in Chromium against them; `make web` and `make small-model` come before.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/lib.sh

scripts/setup.sh browser
(cd benches/browser && npm ci --ignore-scripts --silent)
node benches/browser/run.mjs
