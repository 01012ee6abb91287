#!/usr/bin/env bash
# The main job on the real default model: one question and one wish, answered without the wish, with it, and leaning towards
# it, with the length of each answer.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

question="How can I relax after a long day at work?"
wish="Be concise: answer in as few words as possible."
# Beside the question and the wish.
options=(--plausibility 0.1 --max-new-tokens 96)
periapt=target/release/periapt

say "what this machine computes on"
machine=$("$periapt" doctor)
echo "$machine"

# A GPU that is none, but software, is slower than the CPU itself.
if grep -q 'there is no hardware GPU' <<<"$machine"; then
    options+=(--device cpu)
fi

say "\"$question\", with the wish \"$wish\""
"$periapt" compare "$question" --prefer "$wish" "${options[@]}"

say "that was the demo"
echo "'base' is asked without the wish, 'pref' is told it; 'la' and 'amulet' lean every word from the first"
echo "towards the second. The lengths stand below the answers."
echo "Your own question: $periapt generate --prefer 'In plain words.' 'Why is the sky blue?'"
