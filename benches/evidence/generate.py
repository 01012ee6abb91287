#!/usr/bin/env python3
"""All answers that the evidence rests on, by `periapt eval`, `periapt score` and `periapt tpo`.

    benches/evidence/generate.py --out target/evidence/0.5b --model qwen2.5-coder:0.5b --limit 8 --dataset a.json b.json

Every part (a set of prompts x an arm) is a folder of its own below --out, which `periapt eval` goes on with where it was killed.
`--jobs N` runs so many parts at once. Needs nothing but Python.
"""

import argparse
import concurrent.futures
import itertools
import json
import pathlib
import subprocess
import sys
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]

# Wishes whose fulfilment can be checked without a model: name, instruction.
CONSTRAINTS = {
    "two sentences": "Use at most two sentences.",
    "three bullets": "Answer in exactly three bullet points.",
    "lower case": "Write everything in lower case.",
    "no commas": "Do not use any commas.",
    "question": "End your answer with a question.",
    "for example": 'Use the phrase "for example" in your answer.',
}
# The Amulet paper's words, which each set of prompts makes a sentence of.
STYLES = ["concise", "verbose", "formal", "complex", "uplifting", "pleasant", "creative", "sycophantic"]

# What an arm is to `periapt eval`.
ARMS = {
    "base": ["--method", "base"],
    "pref": ["--method", "pref"],
    "la 2": ["--method", "la", "--strength", "2"],
    "amulet": ["--method", "amulet"],
    "la 2 + plausibility 0.1": ["--method", "la", "--strength", "2", "--plausibility", "0.1"],
    "la 1 + plausibility 0.1": ["--method", "la", "--strength", "1", "--plausibility", "0.1"],
    "amulet + plausibility 0.1": ["--method", "amulet", "--plausibility", "0.1"],
    "amulet + nucleus 0.8": ["--method", "amulet", "--nucleus", "0.8"],
    "la 1": ["--method", "la", "--strength", "1"],
    "pref twice": ["--method", "pref", "--system", "{preference} {preference}"],
    "amulet + jsd": ["--method", "amulet", "--adaptive", "jsd"],
    "amulet + budget 0.3": ["--method", "amulet", "--budget", "0.3"],
    "la 8": ["--method", "la", "--strength", "8"],
    "la 2 + nucleus 0.8": ["--method", "la", "--strength", "2", "--nucleus", "0.8"],
}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--periapt", default=str(REPOSITORY / "target/release/periapt"), help="the program")
    add("--out", type=pathlib.Path, required=True, help="the folder of all answers")
    add("--model", required=True)
    add("--device", default="auto")
    add("--dataset", nargs="+", default=[str(REPOSITORY / "tests/fixtures/questions.json")])
    add("--limit", type=int, default=8, help="the first N questions of each dataset")
    add("--sets", nargs="*", default=["plain"], help="sets of prompts")
    add("--arms", nargs="*", default=list(ARMS), choices=list(ARMS))
    add("--wishes", nargs="+", default=[*CONSTRAINTS, *STYLES], help="by name")
    add("--max-new-tokens", type=int, default=256)
    add("--batch", type=int, default=32)
    add("--jobs", type=int, default=1)
    add("--judge", help="a model of another family, by which every answer's log-likelihood is taken; without it, its own is")
    add("--tpo", type=int, default=0, help="refine the first N questions of each dataset, too")
    add("--tpo-wishes", nargs="+", default=["concise", "formal", "uplifting"])
    add("--tpo-options", default="-n 192", help="what `periapt tpo` is given besides")
    add("--seconds", type=float, default=float("inf"), help="begin no part after so many")
    return parser.parse_args()


def wish_of(name):
    return CONSTRAINTS.get(name, name)


def questions(args, limit):
    """The first `limit` questions of each dataset, of all in turn: larger batches than each alone would give."""
    lists = []
    for path in map(pathlib.Path, args.dataset):
        rows = [row if isinstance(row, dict) else {"index": at, "question": row} for at, row in enumerate(json.loads(path.read_text()))]
        lists.append([{"index": f"{path.stem}/{row['index']}", "question": row["question"].strip()} for row in rows[:limit]])
    return [row for turn in itertools.zip_longest(*lists) for row in turn if row]


def evaluate(args, prompts, arm):
    """One arm's answers."""
    folder = args.out / prompts / arm.replace(" ", "_")
    folder.mkdir(parents=True, exist_ok=True)
    command = [args.periapt, "eval", "--model", args.model, "--device", args.device, "--prompt-set", prompts]
    command += ["-n", str(args.max_new_tokens), "--batch", str(args.batch), *ARMS[arm], "-o", str(folder)]
    command += ["--dataset", str(args.out / "questions.json")] + (["--answers-only"] if args.judge else [])
    # Base is the same whatever the wish: analyse.py holds it against each.
    wishes = args.wishes[:1] if arm == "base" else args.wishes
    command += [word for name in wishes for word in ("--prefer", wish_of(name))]
    return command, folder / "log"


def refine(args, wish):
    """TPO by `fit`, with best-of-N of the same method at as many generations and at as many tokens beside it."""
    folder = args.out / "tpo"
    folder.mkdir(parents=True, exist_ok=True)
    asked = folder / "questions.json"
    asked.write_text(json.dumps([row["question"] for row in questions(args, args.tpo)]))
    record = folder / f"{wish}.jsonl"
    command = [args.periapt, "tpo", "--model", args.model, "--device", args.device, "--prefer", wish_of(wish)]
    command += ["--dataset", str(asked), "--record", str(record), *args.tpo_options.split(), "--json"]
    return command, folder / f"{wish}.log"


def judge(args, prompts, arm):
    """The answers' log-likelihoods by another model, without a wish."""
    folder = args.out / prompts / arm.replace(" ", "_")
    answers = folder / "answers.jsonl"
    done = folder / "judged.jsonl"
    if not answers.exists() or (done.exists() and done.stat().st_mtime > answers.stat().st_mtime):
        return None
    rows = [json.loads(line) for line in answers.read_text().splitlines() if line.strip()]
    lines = folder / "lines.jsonl"
    with lines.open("w") as out:
        for row in rows:
            if row["response"].strip():
                key = [row["dataset"], row["index"], row["preference"], row["method"]]
                line = {"id": key, "question": row["question"], "preference": row["preference"], "response": row["response"]}
                out.write(json.dumps(line) + "\n")
    command = [args.periapt, "score", "--model", args.judge, "--device", args.device, "--reward", "preference", "--json"]
    return command + ["--lines", str(lines)], done


def run(command, output, started, seconds):
    """Runs a command; what it prints goes to `output`, what it says to a log beside it."""
    if time.monotonic() - started > seconds:
        return f"left out: {output.parent.name}/{output.stem}"
    began = time.monotonic()
    part = output.with_name(output.name + ".part")
    with part.open("w") as out, output.with_name(output.stem + ".err").open("w") as err:
        code = subprocess.run(command, stdout=out, stderr=err, check=False).returncode
    if code == 0:
        part.replace(output)
    return f"{output.parent.name}/{output.stem}: status {code}, {time.monotonic() - began:.0f} s"


def main():
    args = arguments()
    started = time.monotonic()
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "questions.json").write_text(json.dumps(questions(args, args.limit), indent=1))
    (args.out / "run.json").write_text(json.dumps({k: str(v) if isinstance(v, pathlib.Path) else v for k, v in vars(args).items()}, indent=1))
    arms = [(prompts, arm) for prompts in args.sets for arm in args.arms if not (prompts == "paper" and arm == "pref twice")]
    parts = [evaluate(args, prompts, arm) for prompts, arm in arms]
    if args.tpo:
        parts += [refine(args, wish) for wish in args.tpo_wishes]
    failed = False
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for said in pool.map(lambda part: run(*part, started, args.seconds), parts):
            failed |= "status 0" not in said
            print(said, file=sys.stderr, flush=True)
        if args.judge:
            judged = [part for prompts, arm in arms if (part := judge(args, prompts, arm))]
            for said in pool.map(lambda part: run(*part, started, args.seconds), judged):
                failed |= "status 0" not in said
                print(said, file=sys.stderr, flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
