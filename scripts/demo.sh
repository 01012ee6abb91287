#!/usr/bin/env bash
# The main job on the real default model: one question, two preferences, four ways to answer each.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

question="What is a good way to start the day?"
periapt=target/release/periapt

for preference in concise uplifting; do
    say "\"$question\", with the preference \"$preference\" (about 20 seconds without a GPU)"
    "$periapt" compare "$question" --prefer "$preference" --max-new-tokens 48
done

say "that was the demo"
echo "The streams 'base' (without the preference) and 'pref' (with it) are the model's own answers;"
echo "'la' and 'amulet' lean every word from the first towards the second."
echo "Your own question: $periapt generate --prefer 'in plain words' 'Why is the sky blue?'"
