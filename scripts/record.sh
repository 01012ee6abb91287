#!/usr/bin/env bash
# Records the runs that the page plays before any model is loaded (www/public/recorded): the small model's own
# answers on the best GPU adapter of this machine, one trace a preference. `make small-model` builds and pulls what it needs.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

question="How can I be a better listener?"
model=${PERIAPT_TEST_MODEL:-$(target/release/periapt models path smollm2:135m)}
periapt=$PWD/target/release/periapt
out=$PWD/www/public/recorded
rm -rf "$out"
mkdir -p "$out"

# The trace names the model as it was called: by its file's name alone.
cd "$(dirname "$model")"
record() {
    say "$1"
    "$periapt" generate --model "$(basename "$model")" --device gpu --max-new-tokens 64 --seed 0 \
        --trace "$out/$1.jsonl" --trace-top 5 "${@:2}" "$question"
    echo
}
# The preference's place in the system prompt stays empty for base, whichever it is.
record base --method base --prefer concise
for preference in concise creative formal uplifting; do
    record "$preference" --method amulet --prefer "$preference"
done
