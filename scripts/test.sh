#!/usr/bin/env bash
# All tests: the page's own modules in Node, the Rust ones, the server's clients, then the page in a real Chromium. The last line
# counts all.
# `make test` builds everything first.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
. scripts/lib.sh

PERIAPT_TEST_MODEL=${PERIAPT_TEST_MODEL:-$(target/release/periapt models path smollm2:135m)} ||
    fail "the model of the tests isn't here; 'make small-model' pulls it"
export PERIAPT_TEST_MODEL
mkdir -p target/logs
passed=0 failed=0 skipped=0 broken=0

# count LOG PATTERN: the sum of the numbers that PATTERN's group finds in LOG.
count() {
    sed -nE "s/$2/\1/p" "$1" | awk '{ sum += $1 } END { print sum + 0 }'
}

# record NAME STATUS FAILED: a runner that ends badly without a failed test failed all the same.
record() {
    failed=$((failed + $3))
    if [ "$2" -ne 0 ] && [ "$3" -eq 0 ]; then
        echo "$1 ended with status $2, though no test of its own failed" >&2
        broken=$((broken + 1))
    fi
}

# page LOG OPTION... FOLDER: Node's test runner.
page() {
    local log=target/logs/$1 status
    node --test --test-reporter=spec "${@:2}" 2>&1 | tee "$log"
    status=${PIPESTATUS[0]}
    passed=$((passed + $(count "$log" '^[^ ]+ pass ([0-9]+)$')))
    skipped=$((skipped + $(count "$log" '^[^ ]+ skipped ([0-9]+)$')))
    record "node --test" "$status" "$(count "$log" '^[^ ]+ fail ([0-9]+)$')"
}

say "the page's own modules"
page page-test.log tests/page/

say "the Rust tests"
log=target/logs/cargo-test.log
# Without the examples, which clippy checks: each would link the engine once more. What documentation shows is apart in cargo.
{
    rust=(cargo test --release --locked --no-fail-fast --workspace --exclude periapt-web)
    "${rust[@]}" --lib --bins --tests
    status=$?
    "${rust[@]}" --doc && exit $status
} 2>&1 | tee $log
status=${PIPESTATUS[0]}
passed=$((passed + $(count $log '^test result: .* ([0-9]+) passed;.*')))
skipped=$((skipped + $(count $log '^test result: .* ([0-9]+) ignored;.*')))
record "cargo test" "$status" "$(count $log '^test result: .* ([0-9]+) failed;.*')"

say "clients of other makers against the server"
page clients-test.log tests/clients/

say "the page in Chromium (WebGPU on a software renderer is slow: this takes minutes)"
# Two files at a time at least: much of it waits for one core.
workers=$(node -p 'Math.max(2, os.availableParallelism() - 1)')
page browser-test.log --test-concurrency="$workers" tests/browser/

failed=$((failed + broken))
say "all tests"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
