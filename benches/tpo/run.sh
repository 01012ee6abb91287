#!/usr/bin/env bash
# One refinement with all of a round's candidates as one batch, against one candidate at a time: same seed, same
# prompt, in turns. Prints each pair's wall and processor seconds and their ratios. ROUNDS pairs (default 3); all other
# arguments go to `periapt tpo`, as in: benches/tpo/run.sh --device gpu --samples 5 --rounds 2 -n 96 --max-text-tokens 96
set -euo pipefail
cd "$(dirname "$0")/../.."
periapt=${PERIAPT:-target/release/periapt}
question=${QUESTION:-How do I take care of a wooden table?}

# measure ARGUMENT...: wall and processor seconds of a run.
measure() {
    local TIMEFORMAT='%R %U %S'
    { time "$periapt" tpo --prefer concise "$@" -- "$question" >/dev/null 2>&1; } 2>&1 |
        awk '{ print $1, $2 + $3 }'
}

printf '%8s %8s %8s %8s %7s %7s\n' 'one s' 'batch s' 'one cpu' 'batch cpu' 'wall' 'cpu'
for _ in $(seq "${ROUNDS:-3}"); do
    read -r one one_cpu <<<"$(measure --batch 1 "$@")"
    read -r batch batch_cpu <<<"$(measure "$@")"
    awk -v a="$one" -v b="$batch" -v c="$one_cpu" -v d="$batch_cpu" \
        'BEGIN { printf "%8.1f %8.1f %8.1f %8.1f %6.2fx %6.2fx\n", a, b, c, d, a / b, c / d }'
done
