"""Runs Periapt, llama.cpp and candle in turns and prints medians and ratios. run.sh builds what it needs and calls it."""

import json
import os
import statistics
import subprocess
import sys

PROMPT, TOKENS, SEQUENCES = 64, 32, (1, 8)
PERIAPT = "target/release/periapt"


def run(command, **environment):
    """The standard output of a command; a command that fails ends all."""
    done = subprocess.run(
        command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


def llama(folder, model, layers, **environment):
    """Tokens a second of one llama.cpp build: prefill, decode with one sequence, decode with eight."""
    command = [f"{folder}/bin/llama-batched-bench", "-m", model, "-c", "2048", "-npp", str(PROMPT), "-ntg", str(TOKENS)]
    command += ["-npl", ",".join(map(str, SEQUENCES)), "-t", str(os.cpu_count()), "-ngl", layers]
    command += ["--output-format", "jsonl"]
    lines = [json.loads(line) for line in run(command, **environment).splitlines() if line.startswith("{")]
    by_sequences = {line["pl"]: line for line in lines}
    one, eight = by_sequences[1], by_sequences[8]
    return {"prefill": one["speed_pp"], "decode": one["speed_tg"], "decode_8": eight["speed_tg"]}


def periapt(device, model):
    """The same of Periapt on one device."""
    command = [PERIAPT, "bench", "--device", device, "--model", model, "--rows", "1,8", "--method", "base"]
    command += ["--context", str(PROMPT), "--steps", str(TOKENS), "--json"]
    one, eight = json.loads(run(command))["results"]
    return {
        "prefill": one["prefill_tokens_per_s"],
        "decode": one["decode_tokens_per_s"],
        "decode_8": eight["decode_tokens_per_s"],
    }


def candle(folder, model):
    """The same of candle's quantized llama."""
    return json.loads(run([f"{folder}/candle/release/compare-candle", model, str(PROMPT), str(TOKENS)]))


def main():
    model, folder, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
    # llama.cpp passes over software adapters unless one is named.
    peers = {
        "periapt gpu": lambda: periapt("gpu", model),
        "periapt cpu": lambda: periapt("cpu", model),
        "llama.cpp vulkan": lambda: llama(f"{folder}/vulkan", model, "99", GGML_VK_VISIBLE_DEVICES="0"),
        "llama.cpp cpu": lambda: llama(f"{folder}/cpu", model, "0"),
        "candle cpu": lambda: candle(folder, model),
    }
    measured = {peer: [] for peer in peers}
    for number in range(rounds):
        for peer, measure in peers.items():
            print(f"round {number + 1} of {rounds}: {peer}", file=sys.stderr)
            measured[peer].append(measure())
    medians = {
        peer: {what: statistics.median(one[what] for one in runs) for what in runs[0]}
        for peer, runs in measured.items()
    }
    print(f"{'tokens a second':<18} {'prefill':>9} {'decode':>9} {'8 at once':>10}   decode / vulkan   decode / cpu")
    for peer, median in medians.items():
        ratios = [median["decode"] / medians[f"llama.cpp {build}"]["decode"] for build in ("vulkan", "cpu")]
        print(
            f"{peer:<18} {median['prefill']:>9.1f} {median['decode']:>9.1f} {median['decode_8']:>10.1f}"
            f"   {ratios[0]:>15.2f}   {ratios[1]:>12.2f}"
        )
    with open(f"{folder}/result.json", "w", encoding="utf-8") as out:
        json.dump({"model": model, "medians": medians, "rounds": measured}, out, indent=1)


main()
