#!/usr/bin/env bash
# Records the runs of the first view (www/public/recorded): one question, without a wish and, for each wish, at every stop of the
# slider (www/src/demo.ts has the same names), by qwen2.5-coder:1.5b on the best device of this machine. `make build` builds what
# it needs; the model is pulled (1.12 GB), unless PERIAPT_RECORD_MODEL names its file. What is there already is kept, so that a
# recording that was broken off goes on: delete www/public/recorded to make all of it anew.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

question="What is happiness?"
declare -A wishes=(
    [concise]="concise"
    [child]="Use simple words that a child knows."
    [verse]="Answer in verse, as a short poem."
    [pirate]="Talk like a pirate."
)
# The strength that the page opens with, what was measured to suit this model, has the wish's name alone.
declare -A stops=([-told]=0 [-little]=1 [-leaning]=2 [-paper]=4.65 [-far]=7)
opening=-leaning

periapt=$PWD/target/release/periapt
model=${PERIAPT_RECORD_MODEL:-}
if [ -z "$model" ]; then
    "$periapt" models pull qwen2.5-coder:1.5b
    model=$("$periapt" models path qwen2.5-coder:1.5b)
fi
out=$PWD/www/public/recorded
mkdir -p "$out"
whole=$(mktemp -d)/trace.jsonl
trap 'rm -rf "$(dirname "$whole")"' EXIT

# A GPU that is none, but software, is slower than the CPU itself.
device=auto
if grep -q 'there is no hardware GPU' <<<"$("$periapt" doctor)"; then
    device=cpu
fi

# Two decimals of a log-probability tell the probability to a hundredth of itself, and make the file a third as large.
compact='
    const lines = require("fs").readFileSync(0, "utf8").trim().split("\n").map((line) => JSON.parse(line));
    const short = (key, value) => (typeof value === "number" ? Number(value.toFixed(2)) : value);
    for (const line of lines) console.log(JSON.stringify(line, line.type === "token" ? short : undefined));
'

# The trace names the model as it was called: by its file's name alone.
cd "$(dirname "$model")"
# record NAME LIMIT OPTION...
record() {
    local name=$1 limit=$2
    [ -s "$out/$name.jsonl" ] && return
    say "$name"
    rm -f "$whole"
    "$periapt" generate --model "$(basename "$model")" --device "$device" --seed 0 --plausibility 0.1 \
        --max-new-tokens "$limit" --trace "$whole" --trace-top 4 "${@:3}" "$question"
    echo
    node -e "$compact" <"$whole" >"$out/$name.jsonl"
}
# With a preference named, so that base has the same system prompt; whichever it is.
record base 200 --method base --prefer concise
for wish in "${!wishes[@]}"; do
    for stop in "${!stops[@]}"; do
        # What is too much seldom comes to an end of its own.
        limit=200
        if [ "$stop" = -far ]; then limit=80; fi
        record "$wish${stop#"$opening"}" "$limit" --method la --strength "${stops[$stop]}" --prefer "${wishes[$wish]}"
    done
done
