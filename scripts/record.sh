#!/usr/bin/env bash
# Records the runs that the page plays before any model is loaded (www/public/recorded): answers of qwen2.5-coder:1.5b on the
# best device of this machine, one trace a preference. `make build` builds what it needs; the model is pulled (1.12 GB), unless
# PERIAPT_RECORD_MODEL names its file.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

question="How can I relax after a long day at work?"
periapt=$PWD/target/release/periapt
model=${PERIAPT_RECORD_MODEL:-}
if [ -z "$model" ]; then
    "$periapt" models pull qwen2.5-coder:1.5b
    model=$("$periapt" models path qwen2.5-coder:1.5b)
fi
out=$PWD/www/public/recorded
rm -rf "$out"
mkdir -p "$out"

# A GPU that is none, but software, is slower than the CPU itself.
device=auto
if grep -q 'there is no hardware GPU' <<<"$("$periapt" doctor)"; then
    device=cpu
fi

# The trace names the model as it was called: by its file's name alone.
cd "$(dirname "$model")"
record() {
    say "$1"
    "$periapt" generate --model "$(basename "$model")" --device "$device" --max-new-tokens 64 --seed 0 \
        --trace "$out/$1.jsonl" --trace-top 5 "${@:2}" "$question"
    echo
}
# With a preference named, so that base has the same system prompt; whichever it is.
record base --method base --prefer concise
for preference in concise creative formal uplifting; do
    record "$preference" --method amulet --plausibility 0.1 --prefer "$preference"
done
