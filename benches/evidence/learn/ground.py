#!/usr/bin/env python3
"""Whether learning has a ground to stand on: how well each feature follows what can be checked, and what leaning does.

    benches/evidence/learn/ground.py --model qwen2.5-coder:0.5b --questions questions.json --out target/learn/0.5b \
        --results benches/evidence/results/learn/0.5b.json

Of --bank questions nine answers each, to prompts of all ends of all axes and to none, with draws; of --slope other questions
greedy answers at k = -2, 0 and 2 along each axis. What a killed run has done is kept in --out. The result is a table, JSON, and
the entry of core/src/persona/measured.json.
"""

import json
import pathlib
import subprocess
import sys

import numpy as np
from measures import UNITS, measures
from scipy.stats import rankdata

from server import Server, axes_of, kept, parser

SAMPLES = 10_000
A_QUESTION = 9


def arguments():
    found = parser(__doc__)
    add = found.add_argument
    add("--bank", type=int, default=24)
    add("--slope", type=int, default=12)
    add("--by-model", type=int, default=24, help="of so many of the bank's questions the log-ratios by the model, too")
    add("--k", type=float, default=2.0, help="how far to lean, either way")
    add("--plausibility", type=float, default=0.1)
    add("--out", type=pathlib.Path, required=True)
    return found.parse_args()


def bank_rows(questions, axes):
    """Nine answers a question: one without a wish, and of the twelve ends eight in turn."""
    poles = [(axis["name"], end, axis[end]["instruction"]) for axis in axes for end in ("minus", "plus")]
    for at, question in enumerate(questions):
        yield {"key": [at, "base"], "question": question, "alignment": {"method": "base"}}
        for turn in range(A_QUESTION - 1):
            axis, end, instruction = poles[(5 * at + turn) % len(poles)]
            yield {"key": [at, f"{axis} {end}"], "question": question, "alignment": {"method": "pref", "preference": instruction}}


def slope_rows(questions, axes, strength, plausibility):
    for at, question in enumerate(questions):
        yield {"key": [at, "base", 0], "question": question, "alignment": {"method": "base"}}
        for axis in axes:
            for k in (-strength, strength):
                alignment = {"lean": {axis["name"]: k}, "plausibility": plausibility}
                yield {"key": [at, axis["name"], k], "question": question, "alignment": alignment}


def kl_rows(questions, axes):
    """Without a guard, held against the prompt without a wish; and as a typed wish would lean."""
    for at, question in enumerate(questions):
        for axis in axes:
            plus, minus = axis["plus"]["instruction"], axis["minus"]["instruction"]
            ways = {"lean": [{"text": plus, "weight": 1}, {"text": minus, "weight": -1}], "wish": [{"text": plus, "weight": 3}]}
            for way, preferences in ways.items():
                yield {"key": [at, axis["name"], way], "question": question, "alignment": {"preferences": preferences, "kl_budget": 1e3}}


def told(args, rows, file, more):
    """What `periapt persona rate` says of each row, by its key; what `file` holds is not asked again."""
    done = kept(file, "id")
    missing = [row for row in rows if json.dumps(row["key"]) not in done]
    if missing:
        lines = args.out / "lines.jsonl"
        lines.write_text("".join(json.dumps({"id": r["key"], "question": r["question"], "response": r["response"]}) + "\n" for r in missing))
        command = [args.periapt, "persona", "rate", "--lines", str(lines), *more]
        with file.open("a") as out, subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout:
                out.write(line)
                out.flush()
                row = json.loads(line)
                done[json.dumps(row["id"])] = row
        if process.returncode:
            sys.exit(f"{' '.join(command)} ended with {process.returncode}")
    return done


def phi(rated, at, clip):
    """An axis' log-ratio as the engine takes it, at any clip."""
    d = np.array(rated["differences"][at])
    counted = np.array(rated["counted"][at], dtype=bool)
    return float(np.clip(d, -clip, clip)[counted].sum() / max(len(d), 1))


def interval(values):
    low, high = np.percentile(values, [2.5, 97.5])
    return [float(low), float(high)]


def centred(values, groups):
    """Less each question's mean: choices are between answers to one question."""
    values = np.array(values, dtype=float)
    for group in set(groups):
        own = np.array([g == group for g in groups])
        values[own] -= values[own].mean()
    return values


def correlation(a, b):
    a, b = rankdata(a), rankdata(b)
    return float(np.corrcoef(a, b)[0, 1]) if a.std() > 0 and b.std() > 0 else 0.0


def reliability(features, checked, groups, rng):
    """The rank correlation within questions, with an interval from samples of questions."""
    a, b = centred(features, groups), centred(checked, groups)
    places = [np.flatnonzero([g == group for g in groups]) for group in sorted(set(groups))]
    sampled = []
    for _ in range(SAMPLES // 10):
        chosen = np.concatenate([places[i] for i in rng.integers(len(places), size=len(places))])
        sampled.append(correlation(a[chosen], b[chosen]))
    return {"value": correlation(a, b), "interval": interval(sampled)}


def slopes(rows, names, strength, deviations, rng):
    """A: by axis leaned along, the slope of every measure over k in standard deviations, with intervals."""
    by = {tuple(row["key"]): measures(row["response"]) for row in rows}
    questions = sorted({row["key"][0] for row in rows})
    found = {}
    for axis in names:
        found[axis] = {}
        for measure in names:
            value = {k: np.array([by[q, axis, k][measure] for q in questions]) / deviations[measure] for k in (-strength, strength)}
            each = (value[strength] - value[-strength]) / (2 * strength)
            sampled = each[rng.integers(len(each), size=(SAMPLES, len(each)))].mean(axis=1)
            found[axis][measure] = {"value": float(each.mean()), "interval": interval(sampled)}
    return found


def main():
    args = arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    axes = axes_of(args.periapt)
    names = [axis["name"] for axis in axes]
    questions = json.loads(args.questions.read_text())
    bank, others = questions[: args.bank], questions[args.bank : args.bank + args.slope]
    assert len(others) == args.slope, "more questions are needed"
    with Server(args.periapt, args.model, args.device, args.out / "server.log") as server:
        greedy = lambda row: server.ask(row["question"], row["alignment"], args.max_new_tokens, system="")
        drawn = lambda row: server.ask(row["question"], row["alignment"], args.max_new_tokens, temperature=0.7, seed=row["key"][0], system="")
        answers = server.all(list(bank_rows(bank, axes)), args.out / "bank.jsonl", drawn)
        leaned = server.all(list(slope_rows(others, axes, args.k, args.plausibility)), args.out / "slope.jsonl", greedy)
        moved = server.all(list(kl_rows(others[:3], axes)), args.out / "kl.jsonl", greedy)
    rows = [row for row in answers if row["response"]]
    features = told(args, rows, args.out / "text.jsonl", [])
    by_model = [row for row in rows if row["key"][0] < args.by_model]
    ratios = told(args, by_model, args.out / "ratios.jsonl", ["--by-model", "--per-token", "--model", args.model, "--device", args.device])
    rng = np.random.default_rng(7)
    groups = [row["key"][0] for row in rows]
    checked = [measures(row["response"]) for row in rows]
    deviations = {name: float(np.std(centred([one[name] for one in checked], groups))) or 1.0 for name in names}
    engine = [features[json.dumps(row["key"])]["features"] for row in rows]
    rated = [ratios[json.dumps(row["key"])] for row in by_model]
    rated_groups = [row["key"][0] for row in by_model]
    slope = slopes(leaned, names, args.k, deviations, rng)
    table = {}
    for at, name in enumerate(names):
        mine = [one[name] for one in engine]
        own = [one[name] for one in checked]
        is_rated = bool(rated) and bool(rated[0]["differences"][at])
        with_clip = lambda clip, at=at: [phi(one, at, clip) for one in rated]
        own_rated = own[: len(rated)]
        table[name] = {
            "mean": float(np.mean(mine)),
            "deviation": float(np.std(centred(mine, groups))),
            "reliability": reliability(mine, own, groups, rng),
            "log_ratio": reliability(with_clip(1.0), own_rated, rated_groups, rng) if is_rated else None,
            "log_ratio_by_clip": {
                str(clip): correlation(centred(with_clip(clip), rated_groups), centred(own_rated, rated_groups)) for clip in (0.25, 0.5, 1.0, 2.0, 1e9)
            } if is_rated else None,
            "effect": slope[name],
            "kl": {way: float(np.mean([row["kl"] for row in moved if row["key"][1:] == [name, way]])) for way in ("lean", "wish")},
            "unit": UNITS[name],
            "measure_deviation": deviations[name],
        }
    strong = lambda one: one["value"] if one["interval"][0] > 0 or one["interval"][1] < 0 else 0.0
    result = {
        "model": args.model,
        "answers": len(rows),
        "answers_by_model": len(rated),
        "bank_questions": args.bank,
        "slope_questions": args.slope,
        "max_new_tokens": args.max_new_tokens,
        "plausibility": args.plausibility,
        "k": args.k,
        "axes": table,
        "measured": {
            "model": args.model,
            "mean": [round(table[n]["mean"], 5) for n in names],
            "deviation": [round(table[n]["deviation"], 5) for n in names],
            "effect": [[round(strong(table[n]["effect"][m]), 3) for m in names] for n in names],
        },
    }
    args.results.parent.mkdir(parents=True, exist_ok=True)
    args.results.write_text(json.dumps(result, indent=1) + "\n")
    print(f"{args.model}: {len(rows)} answers to {args.bank} questions ({len(rated)} rated by the model), {args.slope} others leaned on")
    print("| axis | feature and measure | log-ratio and measure | own slope a unit of k | KL at k = 1 | a typed wish's at 2 |\n|---|---|---|---|---|---|")
    show = lambda one: f"{one['value']:.2f} ({one['interval'][0]:.2f} to {one['interval'][1]:.2f})" if one else "-"
    for name in names:
        one = table[name]
        print(f"| {name} | {show(one['reliability'])} | {show(one['log_ratio'])} | {show(one['effect'][name])} | {one['kl']['lean']:.2f} | {one['kl']['wish']:.2f} |")


if __name__ == "__main__":
    main()
