#!/usr/bin/env python3
"""The battery that the reward `fit` has to withstand, and `preference` beside it.

Answers of a model to questions, with each wish in its prompt (pref) and without (base), against the same answers with an echo
of the wish put before or behind, with its key word strewn in, with the answer to another question in their place, and with
their words shuffled: how often does each win against the untouched answer? And does the reward tell pref's answers from base's,
and the one whose style can be checked to be the better?

    benches/evidence/fit/battery.py --questions tests/fixtures/questions.json --limit 10 --out target/fit \
        --model qwen2.5-coder-0.5b.gguf --device gpu

Everything goes through `periapt eval` and `periapt score --lines`, each model loaded once a step. What a killed run has done is kept
in --out and gone on from; the result is OUT/result-NAME.json, and a table on standard output. Nothing but Python's own library is
needed; with the package vaderSentiment, the style of uplifting and pleasant answers is checked, too.

`--reworded FILE` (JSON: {"wish": ["...", "..."]}) and `--neutral TEXT` try other instructions, under a `--name` of their own; every
clip and beta of the grid is computed from the same scores by tokens.
"""

import argparse
import json
import pathlib
import random
import re
import statistics
import subprocess
import sys

WISHES = ["concise", "verbose", "formal", "complex", "uplifting", "pleasant", "creative", "sycophantic"]
VARIANTS = ["before", "behind", "strewn", "other", "broken"]
CLIPS = [0.1, 0.25, 0.5, 1.0, 2.0]
BETAS = [0.0, 0.1, 0.25, 0.5, 1.0, 2.0]
# The engine's own.
DEFAULT = (0.5, 1.0)
REPOSITORY = pathlib.Path(__file__).resolve().parents[3]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--periapt", default=str(REPOSITORY / "target/release/periapt"), help="the program")
    add("--questions", default=str(REPOSITORY / "tests/fixtures/questions.json"), help="as `periapt eval --dataset` takes them")
    add("--limit", type=int, default=10, help="questions")
    add("--wishes", nargs="+", default=WISHES)
    add("--model", required=True)
    add("--device", default="auto")
    add("--max-new-tokens", type=int, default=128)
    add("--batch", type=int, default=16)
    add("--more", nargs=argparse.REMAINDER, default=[], help="last: arguments for both commands, such as --system TEXT")
    add("--echo", default="Your answer should be {} as much as possible.", help="the echo of a wish")
    add("--reworded", type=pathlib.Path, help="other rewordings by wish")
    add("--neutral", help="another neutral instruction")
    add("--name", default="fit", help="of these scores within OUT")
    add("--seed", type=int, default=7)
    add("--out", type=pathlib.Path, required=True)
    return parser.parse_args()


def generate(args, method, wishes):
    """Answers by (wish, question), as {response, ended}; `periapt eval` goes on from what it has."""
    folder = args.out / f"answers-{method}"
    command = [args.periapt, "eval", "--model", args.model, "--device", args.device, "--method", method, "--limit", str(args.limit)]
    command += ["--dataset", args.questions, "-n", str(args.max_new_tokens), "--batch", str(args.batch), "-o", str(folder)]
    command += [word for wish in wishes for word in ("--prefer", wish)] + args.more
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    rows = [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]
    rows = [row for row in rows if row["method"] == method]
    answers = {}
    for row in rows:
        text = row["response"].strip()
        if text:
            answers[row["preference"], row["question"]] = {"response": text, "ended": row["finish_reason"] == "stop"}
    return answers


def strewn(text, word, every=6):
    """The word after every sixth one."""
    words = text.split(" ")
    return " ".join(w for at, one in enumerate(words, 1) for w in ([one, word] if at % every == 0 else [one]))


def variants(args, wish, answer, other, seed):
    """What is held against an answer."""
    text, ended = answer["response"], answer["ended"]
    echo = args.echo.format(wish)
    words = text.split()
    random.Random(seed).shuffle(words)
    yield "before", {"response": f"{echo} {text}", "ended": ended}
    yield "behind", {"response": f"{text} {echo}", "ended": ended}
    yield "strewn", {"response": strewn(text, wish), "ended": ended}
    if other:
        yield "other", other
    if len(words) > 2:
        yield "broken", {"response": " ".join(words), "ended": ended}


def groups(args):
    """Lists of lines for `periapt score`, each an answer with all that is held against it."""
    pref = generate(args, "pref", args.wishes)
    # The prompt without a wish is the same for all of them.
    base = generate(args, "base", args.wishes[:1])
    questions = list(dict.fromkeys(question for _, question in pref))
    reworded = json.loads(args.reworded.read_text()) if args.reworded else {}
    for wish in args.wishes:
        for at, question in enumerate(questions):
            if (wish, question) not in pref or (args.wishes[0], question) not in base:
                continue
            answer = pref[wish, question]
            other = pref.get((wish, questions[(at + 1) % len(questions)])) if len(questions) > 1 else None
            common = {"question": question, "preference": wish}
            if wish in reworded:
                common["reworded"] = reworded[wish]
            named = [("pref", answer), ("base", base[args.wishes[0], question])]
            lines = [{**common, "id": [wish, at, name], **one} for name, one in named]
            held = variants(args, wish, answer, other, f"{args.seed} {wish} {at}")
            lines += [{**common, "id": [wish, at, name], "first": False, **one} for name, one in held]
            yield lines


def score(args, all_groups):
    """Scores by (wish, place): {name: what `periapt score` says}; a line that is there is not scored again."""
    file = args.out / f"scores-{args.name}.jsonl"
    there = {}
    # What was asked of each: an answer that is another one now is scored anew.
    asked = {json.dumps(line["id"]): line["response"] for lines in all_groups for line in lines}
    if file.exists():
        whole = file.read_text().rpartition("\n")[0]
        for line in map(json.loads, whole.splitlines()):
            wish, at, name = line["id"]
            if line.get("response") == asked.get(json.dumps(line["id"])):
                there.setdefault((wish, at), {})[name] = line
    missing = [line for lines in all_groups for line in lines if line["id"][2] not in there.get(tuple(line["id"][:2]), {})]
    file.write_text("".join(f"{json.dumps(line)}\n" for group in there.values() for line in group.values()))
    if missing:
        to_ask = args.out / f"lines-{args.name}.jsonl"
        to_ask.write_text("".join(f"{json.dumps(line)}\n" for line in missing))
        command = [args.periapt, "score", "--model", args.model, "--device", args.device, "--json", "--per-token", "--lines", str(to_ask)]
        command += (["--neutral", args.neutral] if args.neutral else []) + args.more
        with file.open("a") as out, subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            for done, line in enumerate(process.stdout, 1):
                parsed = json.loads(line)
                parsed["response"] = asked[json.dumps(parsed["id"])]
                out.write(json.dumps(parsed) + "\n")
                out.flush()
                if done % 50 == 0:
                    print(f"{done} of {len(missing)} answers are scored", file=sys.stderr)
                wish, at, name = parsed["id"]
                there.setdefault((wish, at), {})[name] = parsed
        if process.returncode:
            sys.exit(f"periapt score ended with {process.returncode}")
    return there


def quartile(values):
    """The upper quartile, as the engine takes it."""
    values = sorted(values)
    place = 0.75 * (len(values) - 1)
    below = int(place)
    above = values[min(below + 1, len(values) - 1)]
    return values[below] + (place - below) * (above - values[below])


def fit(line, limit, clip, beta):
    """The reward, as the engine defines it, from what it says of each token; `limit` is the upper quartile of the first answers."""
    of = line["fit"]
    counted = zip(of["differences"], of["counted"])
    style = sum(max(-clip, min(clip, d)) for d, counts in counted if counts) / len(of["differences"])
    return style - beta * max(0.0, of["nll"] - limit)


WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")


def grade(text):
    """Flesch and Kincaid's, syllables being groups of vowels."""
    words = WORD.findall(text)
    sentences = max(1, len(re.findall(r"[.!?]+(?:\s|$)", text)))
    syllables = sum(max(1, len(re.findall(r"[aeiouy]+", word.lower()))) for word in words)
    return 0.39 * len(words) / sentences + 11.8 * syllables / max(1, len(words)) - 15.59


def informality(text):
    """Contractions, exclamation marks and the second person, per 100 words."""
    found = re.findall(r"\b\w+['\u2019](?:t|re|ve|ll|d|m)\b|!|\byou(?:r|rs|rself)?\b", text.lower())
    return 100 * len(found) / max(1, len(WORD.findall(text)))


def checks():
    """By wish, a number that is larger where an answer is more of what was wished for."""
    found = {
        "concise": lambda text: -len(WORD.findall(text)),
        "verbose": lambda text: len(WORD.findall(text)),
        "formal": lambda text: -informality(text),
        "complex": grade,
    }
    try:
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

        compound = SentimentIntensityAnalyzer().polarity_scores
        found |= dict.fromkeys(["uplifting", "pleasant"], lambda text: compound(text)["compound"])
    except ImportError:
        pass
    return found


def auc(higher, lower):
    """How often one of the first is above one of the second; half for a tie."""
    pairs = [(a > b) + 0.5 * (a == b) for a in higher for b in lower]
    return statistics.fmean(pairs) if pairs else None


def mean(values):
    values = [value for value in values if value is not None]
    return statistics.fmean(values) if values else None


def judged(scored, texts, reward):
    """Of one reward: each variant's share of wins, and how well it separates."""
    wins = {}
    for variant in VARIANTS:
        both = [(reward(group, variant), reward(group, "pref")) for group in scored.values() if variant in group]
        wins[variant] = mean([float(a > b) for a, b in both])
    by_wish = {wish for wish, _ in scored}
    groups_of = lambda wish: [group for (other, _), group in scored.items() if other == wish]
    arms = {}
    for wish in sorted(by_wish):
        of = lambda arm: [reward(group, arm) for group in groups_of(wish)]
        arms[wish] = auc(of("pref"), of("base"))
    # Of the two answers to a question the one that is more of what was wished for, where that can be checked.
    found, right = checks(), {}
    for (wish, at), group in scored.items():
        if wish not in found:
            continue
        pref, base = (found[wish](texts[wish, at, arm]) for arm in ("pref", "base"))
        if pref == base:
            continue
        better = reward(group, "pref") - reward(group, "base")
        better = better if pref > base else -better
        right.setdefault(wish, []).append(float(better > 0) + 0.5 * float(better == 0))
    style = {wish: mean(values) for wish, values in sorted(right.items())}
    pooled = [value for values in right.values() for value in values]
    return {"wins": wins, "auc_arms": mean(arms.values()), "auc_style": mean(pooled), "arms": arms, "style": style, "pairs": len(pooled)}


def main():
    args = arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    all_groups = list(groups(args))
    texts = {tuple(line["id"]): line["response"] for lines in all_groups for line in lines}
    wanted = {tuple(lines[0]["id"][:2]) for lines in all_groups}
    scored = {key: group for key, group in score(args, all_groups).items() if key in wanted}
    limits = {key: quartile([group[arm]["fit"]["nll"] for arm in ("pref", "base")]) for key, group in scored.items()}
    limit_of = {id(group): limits[key] for key, group in scored.items()}
    rewards = {
        "fit": lambda group, name: fit(group[name], limit_of[id(group)], *DEFAULT),
        "preference": lambda group, name: group[name]["preference_score"],
    }
    for clip in CLIPS:
        for beta in BETAS:
            rewards[f"fit clip {clip} beta {beta}"] = lambda group, name, clip=clip, beta=beta: fit(
                group[name], limit_of[id(group)], clip, beta
            )
    result = {
        "model": args.model,
        "questions": args.questions,
        "answers": len(scored),
        "wishes": args.wishes,
        "max_new_tokens": args.max_new_tokens,
        "more": args.more,
        "reworded": str(args.reworded or "built in"),
        "neutral": args.neutral,
        "rewards": {name: judged(scored, texts, reward) for name, reward in rewards.items()},
    }
    (args.out / f"result-{args.name}.json").write_text(json.dumps(result, indent=1) + "\n")
    print(f"{len(scored)} answers; the share of variants that win, and the areas under the curves")
    print(f"{'reward':24}" + "".join(f"{name:>8}" for name in VARIANTS) + "    arms   style")
    show = lambda value: f"{value:8.3f}" if value is not None else f"{'-':>8}"
    for name, of in result["rewards"].items():
        print(f"{name:24}" + "".join(show(of["wins"][v]) for v in VARIANTS) + show(of["auc_arms"]) + show(of["auc_style"]))


if __name__ == "__main__":
    main()
