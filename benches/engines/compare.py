"""Runs Periapt with a model here and behind two servers and compares: compare.py MODEL FOLDER. run.sh installs what it needs."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

PERIAPT = os.environ.get("PERIAPT", "target/release/periapt")
QUESTIONS = int(os.environ.get("PERIAPT_QUESTIONS", "20"))
TOKENS = int(os.environ.get("PERIAPT_TOKENS", "64"))
WHOLE = int(os.environ.get("PERIAPT_WHOLE", "5"))
SUPPORT = 64
# Two scores this near are a race, which rounding decides.
RACE = 1e-3
# How answers are leaned: the paper's strength behind a guard, what is recommended, and the paper's strength alone.
METHODS = {
    "amulet, plausibility 0.1": ["--method", "amulet", "--plausibility", "0.1"],
    "la 2, plausibility 0.1": ["--method", "la", "--strength", "2", "--plausibility", "0.1"],
    "amulet": ["--method", "amulet"],
}
TPO = "--prefer concise --reward judge --samples 2 --rounds 1 -n 32 --max-text-tokens 32 --prompts compact --no-baseline".split()


def port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def server(command, at):
    """The address of a server, while it runs."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            if process.poll() is not None:
                sys.exit(f"{' '.join(command)} ended with {process.returncode}")
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{at}/health")
                break
            time.sleep(0.2)
        yield f"http://127.0.0.1:{at}/v1"
    finally:
        process.terminate()
        process.wait()


def periapt(*args):
    done = subprocess.run([PERIAPT, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"periapt {' '.join(args)} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def generate(question, *how):
    return json.loads(periapt("generate", "--json", "--prefer", "concise", "-n", str(TOKENS), *how, "--", question))


def shape(value):
    """A value's fields, without what stands in them."""
    if isinstance(value, dict):
        return {name: shape(of) for name, of in sorted(value.items())}
    return None


def shapes(record):
    """What lines a record has, by their types, and its header."""
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    return sorted({json.dumps([line["type"], shape(line)]) for line in lines[1:]}), shape(lines[0])


def gaps(trace):
    """Of each token of an answer, how far the likeliest was ahead of the next."""
    lines = [json.loads(line) for line in trace.read_text().splitlines()]
    tops = [[one["log_prob"] for one in line["top"]["final"]] for line in lines if "top" in line]
    # Behind a guard there may be one alone.
    return [top[0] - top[1] if len(top) > 1 and top[1] is not None else float("inf") for top in tops]


def compare(here, there, trace):
    """How many tokens of a local answer the other has, too, from the first on; whether that is all, or a race ended it."""
    pairs = list(zip(here, there))
    same = next((at for at, (a, b) in enumerate(pairs) if a != b), len(pairs))
    whole = here == there
    # Where one goes on behind the other's end there is none.
    race = [gap < RACE for gap in gaps(trace)[same : same + 1] if not whole]
    return {"tokens": len(here), "same": same, "whole": whole, "race": any(race)}


def main():
    model, folder = sys.argv[1], Path(sys.argv[2])
    path = periapt("models", "path", model).strip() if not Path(model).exists() else model
    local = ["--device", "cpu", "--model", path]
    questions = [entry["question"] for entry in json.loads(Path("tests/fixtures/questions.json").read_text())][:QUESTIONS]
    ours, llama = port(), port()
    commands = {
        "periapt serve": ([PERIAPT, "serve", "--port", str(ours), "--page", str(folder), *local], ours),
        "llama-server": ([sys.executable, str(Path(__file__).with_name("llama_server.py")), path, str(llama), "1"], llama),
    }
    result = {"model": path, "tpo": {}, "answers": {}}
    (folder / "index.html").touch()
    with contextlib.ExitStack() as stack:
        servers = {name: stack.enter_context(server(*command)) for name, command in commands.items()}

        records = {name: folder / f"{name.split()[0]}.jsonl" for name in ["here", *servers]}
        for name, record in records.items():
            record.unlink(missing_ok=True)
            how = ["--engine", servers[name]] if name in servers else local
            periapt("tpo", *TPO, *how, "--record", str(record), "--", "What is rent?")
        lines, header = shapes(records["here"])
        for name in servers:
            there, its_header = shapes(records[name])
            differs = sorted(set(header) ^ set(its_header))
            result["tpo"][name] = {"lines": len(there), "same_lines": there == lines, "header_differs_in": differs}
            print(f"TPO, {name}: the record's lines have {'the' if there == lines else 'NOT the'} local shapes,", end=" ")
            print(f"the header differs in {', '.join(differs) or 'nothing'}")

        trace = folder / "trace.jsonl"
        for method, how in METHODS.items():
            found = {}
            for number, question in enumerate(questions):
                trace.unlink(missing_ok=True)
                here = generate(question, *local, *how, "--trace", str(trace), "--trace-top", "2")["token_ids"]
                for name, address in servers.items():
                    supports = {SUPPORT: QUESTIONS, 262_144: WHOLE if name == "periapt serve" else 0}
                    for support, most in supports.items():
                        if number >= most:
                            continue
                        there = generate(question, "--engine", address, *how, "--support", str(support))
                        one = {"question": number, **compare(here, there["token_ids"], trace), "truncation": there["truncation"]}
                        found.setdefault((name, support), []).append(one)
                print(f"{method}: question {number + 1} of {len(questions)}", file=sys.stderr)
            for (name, support), all_of in found.items():
                tokens, same = sum(one["tokens"] for one in all_of), sum(one["same"] for one in all_of)
                whole, races = sum(one["whole"] for one in all_of), sum(one["race"] for one in all_of)
                label = f"K = {support}" if support == SUPPORT else "the whole vocabulary"
                print(f"{method}, {name}, {label}: {whole} of {len(all_of)} answers the local ones", end=" ")
                print(f"({races} others parted at a race), {same} of {tokens} tokens before the first difference")
                result["answers"][f"{method}, {name}, {label}"] = all_of
    (folder / "result.json").write_text(json.dumps(result, indent=1))


main()
