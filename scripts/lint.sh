#!/usr/bin/env bash
# What looks at the repository without compiling it. A program that is missing is named, and its part left out; CI has shellcheck
# and biome, and who publishes has the other two (`cargo install --locked typos-cli cargo-deny`).
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

missing() { echo "$1 is not installed: $2 not checked"; }

if have shellcheck; then shellcheck -x scripts/*.sh .ci/run; else missing shellcheck "the scripts were"; fi
# `biome check --write` formats.
biome=www/node_modules/.bin/biome
if [ -x $biome ]; then $biome check --diagnostic-level=error; else missing "biome (npm ci in www)" "TypeScript and JavaScript were"; fi
if have typos; then typos; else missing typos "spelling was"; fi
if have cargo-deny; then cargo deny --locked check bans licenses sources; else missing cargo-deny "dependencies' licences were"; fi
