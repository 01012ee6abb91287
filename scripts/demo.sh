#!/usr/bin/env bash
# The main job on the real default model: one question, two preferences, four ways to answer each.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

question="What is a good way to start the day?"
periapt=target/release/periapt

say "what this machine computes on"
"$periapt" doctor

for preference in concise uplifting; do
    say "\"$question\", with the preference \"$preference\""
    "$periapt" compare "$question" --prefer "$preference" --max-new-tokens 48
done

say "that was the demo"
echo "'base' is the prompt without the preference, 'pref' the one with it; 'la' and 'amulet' lean every"
echo "token from the first towards the second."
echo "Your own question: $periapt generate --prefer 'in plain words' 'Why is the sky blue?'"
