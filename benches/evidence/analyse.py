#!/usr/bin/env python3
"""What the answers of generate.py say: tables with intervals, figures, and all numbers as JSON.

    pip install -r benches/evidence/requirements.txt
    benches/evidence/analyse.py target/evidence/0.5b --title "Qwen2.5-Coder-0.5B" --out benches/evidence/results/0.5b

Paired by question; intervals are percentiles of 10,000 bootstrap samples of questions, all wishes and arms of a question with it;
the p-values of the planned contrasts are corrected by Holm's method.
"""

import argparse
import collections
import json
import math
import pathlib

import matplotlib
import numpy as np

from generate import ARMS, CONSTRAINTS, STYLES
from metrics import UNITS, damage, fulfils, name_of, style, words

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402

SAMPLES = 10_000
PLANNED = [("la 2", "pref"), ("amulet", "la 2"), ("amulet + nucleus 0.8", "amulet")]
OTHERS = [
    ("pref", "base"),
    ("pref twice", "pref"),
    ("la 1", "pref"),
    ("la 8", "la 2"),
    ("la 2 + plausibility 0.1", "la 2"),
    ("la 2 + nucleus 0.8", "la 2"),
    ("la 1 + plausibility 0.1", "pref"),
    ("la 2 + plausibility 0.1", "pref"),
    ("la 2 + plausibility 0.1", "la 1 + plausibility 0.1"),
    ("amulet + plausibility 0.1", "la 2 + plausibility 0.1"),
    ("amulet + plausibility 0.1", "amulet"),
    ("amulet + plausibility 0.1", "pref"),
    ("amulet + budget 0.3", "amulet"),
    ("amulet + jsd", "amulet"),
    ("amulet + jsd", "pref"),
]
# What a gain may cost at most: repetition, nats a token, share of the question's words.
MOST = {"repetition": 0.03, "nll": 0.15, "relevance": -0.05}


def read(folder):
    """All answers as {arm: {(question, wish): measures}}."""
    arms = {}
    for arm in ARMS:
        part = folder / arm.replace(" ", "_")
        if not (part / "answers.jsonl").exists():
            continue
        judged = {}
        if (part / "judged.jsonl").exists():
            for line in (part / "judged.jsonl").read_text().splitlines():
                line = json.loads(line)
                judged[tuple(map(str, line["id"]))] = math.log(line["base_perplexity"])
        answers = {}
        rows = [json.loads(line) for line in (part / "answers.jsonl").read_text().splitlines()]
        if arm == "base":
            # Asked once, with some wish that it does not see.
            first = rows[0]["preference"] if rows else None
            wishes = [CONSTRAINTS.get(name, name) for name in (*CONSTRAINTS, *STYLES)]
            rows = [{**row, "preference": wish, "asked": first} for row in rows if row["preference"] == first for wish in wishes]
        for row in rows:
            if row["method"].startswith("amulet") and ("@" in row["method"]) != ("budget" in arm):
                continue
            name, text, question = name_of(row["preference"]), row["response"], row["question"]
            ended = row["finish_reason"] == "stop"
            key = tuple(map(str, (row["dataset"], row["index"], row.get("asked", row["preference"]), row["method"])))
            score = row.get("score") or {}
            one = {"words": len(words(text)), "cut": not ended, "empty": not words(text), **damage(text, question, row["preference"])}
            one["nll"] = judged.get(key)
            one["own_nll"] = math.log(score["base_perplexity"]) if score.get("base_perplexity") else None
            one["k"], one["kl"] = row.get("mean_k"), row.get("mean_kl")
            one["met"] = fulfils(name, text, ended) if name in CONSTRAINTS else None
            one["style"] = style(name, text, row["preference"]) if name in STYLES else None
            answers[(row["dataset"], str(row["index"])), name] = one
        arms[arm] = answers
    return arms


def resampled(values, rng):
    """Percentile interval and two-sided p of a mean, of values by question: {question: [values]}."""
    questions = [(sum(v), len(v)) for v in values.values() if v]
    if len(questions) < 3:
        return None
    sums, counts = np.array(questions, float).T
    mean = sums.sum() / counts.sum()
    picks = rng.integers(0, len(questions), (SAMPLES, len(questions)))
    means = sums[picks].sum(1) / counts[picks].sum(1)
    low, high = np.percentile(means, [2.5, 97.5])
    p = min(1.0, 2 * min((means <= 0).mean(), (means >= 0).mean()) + 1 / SAMPLES)
    return {"mean": mean, "low": low, "high": high, "p": p, "questions": len(questions), "pairs": int(counts.sum())}


def contrast(arms, first, second, measure, wishes, rng, scale=None):
    if first not in arms or second not in arms:
        return None
    values = collections.defaultdict(list)
    for (question, wish), one in arms[first].items():
        other = arms[second].get((question, wish))
        if wish not in wishes or other is None or one.get(measure) is None or other.get(measure) is None:
            continue
        difference = float(one[measure]) - float(other[measure])
        values[question].append(difference / scale[wish] if scale else difference)
    return resampled(values, rng)


def mean(arms, arm, measure, wishes):
    values = [float(one[measure]) for (_, wish), one in arms[arm].items() if wish in wishes and one.get(measure) is not None]
    return sum(values) / len(values) if values else None


def kept(arms):
    """The constraints that base fulfils in at most 80% and pref in at least 3%, and why others are dropped."""
    keep, dropped = [], {}
    for wish in CONSTRAINTS:
        base, pref = (mean(arms, arm, "met", [wish]) for arm in ("base", "pref"))
        if base is None or pref is None:
            continue
        if base > 0.8 or pref < 0.03:
            dropped[wish] = {"base": base, "pref": pref}
        else:
            keep.append(wish)
    return keep, dropped


def holm(planned):
    """Holm's corrected p-values, in place."""
    valid = sorted((c for c in planned if c["effect"]), key=lambda c: c["effect"]["p"])
    last = 0.0
    for place, one in enumerate(valid):
        last = max(last, min(1.0, one["effect"]["p"] * (len(valid) - place)))
        one["effect"]["p_holm"] = last


def analyse(arms, rng):
    keep, dropped = kept(arms)
    base = arms["base"]
    scale = {}
    for wish in STYLES:
        values = [one["style"] for (_, name), one in base.items() if name == wish and one["style"] is not None]
        asked = mean(arms, "pref", "style", [wish]) is not None
        if asked and len(values) > 2 and np.std(values) > 0 and wish in UNITS:
            scale[wish] = float(np.std(values))
    every = [*CONSTRAINTS, *STYLES]
    nll = "nll" if any(one["nll"] is not None for one in base.values()) else "own_nll"
    table = {}
    for arm in arms:
        table[arm] = {
            "constraints_met": mean(arms, arm, "met", keep),
            **{f"met: {wish}": mean(arms, arm, "met", [wish]) for wish in CONSTRAINTS},
            **{f"style: {wish}": mean(arms, arm, "style", [wish]) for wish in scale},
            **{m: mean(arms, arm, m, every) for m in ("words", "cut", "empty", "repetition", "echo", "relevance", "k", "kl")},
            "nll": mean(arms, arm, nll, every),
        }
    contrasts = []
    for planned, pairs in ((True, PLANNED), (False, OTHERS)):
        for first, second in pairs:
            effect = contrast(arms, first, second, "met", keep, rng)
            if not effect:
                continue
            costs = {m: contrast(arms, first, second, nll if m == "nll" else m, every, rng) for m in MOST}
            harms = [m for m, most in MOST.items() if costs[m] and (costs[m]["mean"] > most if most > 0 else costs[m]["mean"] < most)]
            contrasts.append({
                "first": first, "second": second, "planned": planned, "effect": effect, "costs": costs, "harms": harms,
                "styles": contrast(arms, first, second, "style", list(scale), rng, scale),
                "works": bool(effect["low"] > 0 and not harms),
            })
    holm([one for one in contrasts if one["planned"]])
    return {"wishes_kept": keep, "wishes_dropped": dropped, "style_scale": scale, "nll_by": nll, "arms": table, "contrasts": contrasts}


def share(value):
    return "" if value is None else f"{100 * value:.0f}%"


def span(effect, scale=1.0, digits=1):
    if not effect:
        return ""
    return f"{scale * effect['mean']:+.{digits}f} ({scale * effect['low']:+.{digits}f} to {scale * effect['high']:+.{digits}f})"


def page(title, results):
    """The tables as Markdown."""
    out = [f"# {title}\n"]
    for prompts, found in results.items():
        if "arms" not in found:
            continue
        out.append(f"## Prompts: {prompts}\n")
        names = found["wishes_kept"]
        out.append("Constraints met, by wish; words, cut answers and damage over all wishes.\n")
        out.append("| arm | " + " | ".join(names) + " | all | words | cut | nll | repetition | echo | relevance | mean k |")
        out.append("|---" * (len(names) + 9) + "|")
        for arm, row in found["arms"].items():
            numbers = [f"{row['words']:.0f}", share(row["cut"]), f"{row['nll']:.2f}" if row["nll"] is not None else "", f"{row['repetition']:.3f}"]
            numbers += [f"{row['echo']:.2f}", share(row["relevance"]), f"{row['k']:.2f}" if row["k"] is not None else ""]
            out.append(f"| {arm} | " + " | ".join(share(row[f"met: {wish}"]) for wish in names) + f" | {share(row['constraints_met'])} | " + " | ".join(numbers) + " |")
        for wish, why in found["wishes_dropped"].items():
            out.append(f"\nDropped: {wish} (base {share(why['base'])}, pref {share(why['pref'])}).")
        out.append("\nStyles, each in its own unit (" + "; ".join(f"{w}: {UNITS[w]}" for w in found["style_scale"]) + ").\n")
        out.append("| arm | " + " | ".join(found["style_scale"]) + " |")
        out.append("|---" * (len(found["style_scale"]) + 1) + "|")
        for arm, row in found["arms"].items():
            # Those of which less is better are kept with their sign turned.
            cells = ((row[f"style: {w}"], -1 if w in ("concise", "formal") else 1) for w in found["style_scale"])
            out.append(f"| {arm} | " + " | ".join("" if cell is None else f"{sign * cell:.2f}" for cell, sign in cells) + " |")
        out.append("\nContrasts: constraints met, points; styles, in standard deviations of base's answers; in brackets 95% intervals.\n")
        out.append("| contrast | constraints | p (Holm) | styles | repetition | nll | relevance | works |")
        out.append("|---|---|---|---|---|---|---|---|")
        for one in found["contrasts"]:
            p = f"{one['effect']['p_holm']:.4f}" if one["planned"] else ""
            costs = one["costs"]
            verdict = "yes" if one["works"] else ("no: " + ", ".join(one["harms"]) if one["harms"] else "no")
            cells = [span(one["effect"], 100), p, span(one["styles"], 1, 2), span(costs["repetition"], 1, 3), span(costs["nll"], 1, 2)]
            cells += [span(costs["relevance"], 100), verdict]
            out.append(f"| {one['first']} - {one['second']} | " + " | ".join(cells) + " |")
        out.append("")
    return "\n".join(out)


def figure(title, found, path):
    """Constraints met against what the answers lose, an arm a point."""
    arms = {arm: row for arm, row in found["arms"].items() if row["constraints_met"] is not None and row["nll"] is not None}
    fig, ax = plt.subplots(figsize=(7.2, 4.4))
    middle = (min(row["nll"] for row in arms.values()) + max(row["nll"] for row in arms.values())) / 2
    for arm, row in arms.items():
        point = (row["nll"], 100 * row["constraints_met"])
        ax.scatter(*point, s=28, color="#2b5d8a")
        # Towards the middle, where there is room.
        side = {"xytext": (-6, 4), "ha": "right"} if row["nll"] > middle else {"xytext": (6, 4), "ha": "left"}
        ax.annotate(arm, point, textcoords="offset points", fontsize=8, **side)
    ax.set_xlabel("negative log-likelihood without the wish, nats a token")
    ax.set_ylabel("constraints met, %")
    ax.set_title(title, fontsize=10)
    ax.grid(alpha=0.25)
    fig.tight_layout()
    fig.savefig(path, metadata={"Date": None})
    plt.close(fig)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=pathlib.Path, help="what generate.py wrote")
    parser.add_argument("--title", required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args()
    rng = np.random.default_rng(7)
    plt.rcParams["svg.hashsalt"] = "periapt"
    args.out.mkdir(parents=True, exist_ok=True)
    results = {}
    for prompts in ("plain", "paper"):
        arms = read(args.folder / prompts)
        if "base" in arms and "pref" in arms:
            results[prompts] = analyse(arms, rng)
            figure(f"{args.title}, prompts: {prompts}", results[prompts], args.out / f"{prompts}.svg")
    (args.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (args.out / "README.md").write_text(page(args.title, results))
    print(page(args.title, results))


if __name__ == "__main__":
    main()
