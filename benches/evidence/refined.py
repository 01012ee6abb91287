#!/usr/bin/env python3
"""What TPO's rounds come to beside best-of-N, from the records that `generate.py --tpo` wrote: a table with intervals, and JSON.

    benches/evidence/refined.py target/evidence/0.5b --title "Qwen2.5-Coder-0.5B" --out benches/evidence/results/0.5b

Both select by the same reward, so that reward is no outcome: answers are held against each other by the style that was wished for,
as far as it can be checked (metrics.py), and by what it cost. Paired by question; intervals are percentiles of 10,000 bootstrap
samples of questions, all wishes of a question with it.
"""

import argparse
import collections
import json
import pathlib

import numpy as np

from analyse import resampled, span
from metrics import UNITS, damage, style, words


def parts(path):
    """(query, samples, lines of the run, lines of the comparison) of each question that ended with both."""
    lines = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    items = collections.defaultdict(lambda: {"run": [], "baseline": []})
    for line in lines[1:]:
        items[line["item"]][line["part"]].append(line)
    for item in items.values():
        run, baseline = item["run"], item["baseline"]
        if all(lines and lines[-1]["type"] == "end" for lines in (run, baseline)):
            yield run[0]["query"], run[0]["options"]["samples"], run, baseline


def responses(lines, samples):
    """Each response's text, tokens and reward by its number, in the order in which they came."""
    rewards = {number: reward for line in lines if line["type"] == "scores" for number, reward in line["rewards"]}
    found = {}
    for line in lines:
        if line["type"] in ("candidate", "dropped"):
            number = line["round"] * samples + line["index"]
            found[number] = {"text": line.get("text"), "tokens": line["tokens"], "reward": rewards.get(number), "round": line["round"]}
    return found


def best(found):
    scored = [one for one in found if one["reward"] is not None]
    return max(scored, key=lambda one: one["reward"])["text"] if scored else None


def outcomes(samples, run, baseline):
    """The answer of each way of spending: {name: text}, and the tokens of the run."""
    own = responses(run, samples)
    texts = [line for line in run if line["type"] == "text"]
    generations = len(own) + len(texts)
    tokens = sum(one["tokens"] for one in own.values()) + sum(line["tokens"] for line in texts)
    drawn = [one for _, one in sorted(responses(baseline, samples).items())]
    spent, n = 0, 0
    while n < len(drawn) and spent < tokens:
        spent += drawn[n]["tokens"]
        n += 1
    first = [one for one in own.values() if one["round"] == 0]
    return {
        "one response": first[0]["text"] if first else None,
        "best of the first": best(first),
        "TPO": best(own.values()),
        "best-of-N, equal generations": best(drawn[:generations]),
        "best-of-N, equal tokens": best(drawn[:n]),
    }, tokens


CONTRASTS = [
    ("TPO", "best-of-N, equal generations"),
    ("TPO", "best-of-N, equal tokens"),
    ("TPO", "best of the first"),
    ("best of the first", "one response"),
]
COSTS = ("repetition", "echo", "relevance")


def analyse(folder, rng):
    answers = collections.defaultdict(dict)
    tokens, wishes, changed = [], [], []
    for path in sorted((folder / "tpo").glob("*.jsonl")):
        wish = path.stem
        wishes.append(wish)
        for query, samples, run, baseline in parts(path):
            texts, spent = outcomes(samples, run, baseline)
            tokens.append(spent)
            changed.append(texts["TPO"] != texts["best of the first"])
            for name, text in texts.items():
                if text is not None:
                    answers[name][query, wish] = {"words": len(words(text)), "style": style(wish, text, wish), **damage(text, query, wish)}
    if not tokens:
        raise SystemExit(f"{folder}/tpo has no record with a run and its comparison")
    scale = {}
    for wish in wishes:
        values = [one["style"] for (_, other), one in answers["one response"].items() if other == wish and one["style"] is not None]
        scale[wish] = float(np.std(values)) or 1.0

    def contrast(first, second, measure, of=None):
        values = collections.defaultdict(list)
        for (query, wish), one in answers[first].items():
            other = answers[second].get((query, wish))
            if other is None or one[measure] is None or other[measure] is None or wish not in (of or wishes):
                continue
            values[query].append((one[measure] - other[measure]) / (scale[wish] if measure == "style" else 1))
        return resampled(values, rng)

    mean = lambda values: sum(values) / len(values) if values else None
    table = {
        name: {
            "words": mean([one["words"] for one in found.values()]),
            **{wish: mean([one["style"] for (_, other), one in found.items() if other == wish and one["style"] is not None]) for wish in wishes},
            **{cost: mean([one[cost] for one in found.values() if one[cost] is not None]) for cost in COSTS},
        }
        for name, found in answers.items()
    }
    contrasts = [
        {"first": a, "second": b, "style": contrast(a, b, "style"), **{f"style: {w}": contrast(a, b, "style", [w]) for w in wishes}, **{c: contrast(a, b, c) for c in COSTS}}
        for a, b in CONTRASTS
    ]
    return {
        "runs": len(tokens), "wishes": wishes, "tokens_a_run": mean(tokens), "changed_by_rounds": mean(changed), "style_scale": scale,
        "answers": table, "contrasts": contrasts,
    }


def page(title, found):
    names = found["wishes"]
    sign = lambda wish: -1 if wish in ("concise", "formal") else 1
    out = [
        f"# {title}: TPO\n",
        f"{found['runs']} runs, {found['tokens_a_run']:.0f} tokens each; in {100 * found['changed_by_rounds']:.0f}% the rounds found a response that the "
        "reward puts above the first ones. The reward chose all of these, and is no outcome.\n",
        "Styles, each in its own unit (" + "; ".join(f"{wish}: {UNITS[wish]}" for wish in names) + ").\n",
        "| answer | words | " + " | ".join(names) + " | repetition | echo | relevance |",
        "|---" * (len(names) + 5) + "|",
    ]
    for name, row in found["answers"].items():
        cells = [f"{row['words']:.0f}", *(f"{sign(w) * row[w]:.2f}" for w in names), f"{row['repetition']:.3f}", f"{row['echo']:.2f}", f"{100 * row['relevance']:.0f}%"]
        out.append(f"| {name} | " + " | ".join(cells) + " |")
    out.append("\nContrasts, styles in standard deviations of a single response's; in brackets 95% intervals.\n")
    out.append("| contrast | all | " + " | ".join(names) + " | repetition | echo | relevance |")
    out.append("|---" * (len(names) + 5) + "|")
    for one in found["contrasts"]:
        cells = [span(one["style"], 1, 2), *(span(one[f"style: {w}"], 1, 2) for w in names), span(one["repetition"], 1, 3), span(one["echo"], 1, 2), span(one["relevance"], 100)]
        out.append(f"| {one['first']} - {one['second']} | " + " | ".join(cells) + " |")
    return "\n".join(out) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=pathlib.Path, help="what generate.py wrote")
    parser.add_argument("--title", required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args()
    found = analyse(args.folder, np.random.default_rng(7))
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "tpo.json").write_text(json.dumps(found, indent=1) + "\n")
    (args.out / "tpo.md").write_text(page(args.title, found))
    print(page(args.title, found))


if __name__ == "__main__":
    main()
