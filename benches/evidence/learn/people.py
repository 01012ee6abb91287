#!/usr/bin/env python3
"""Whether people are learnt: simulated ones through a model's real features, and ones who choose by what can be checked.

    benches/evidence/learn/people.py --model qwen2.5-coder:0.5b --questions questions.json --ground target/learn/0.5b \
        --results benches/evidence/results/learn/0.5b-people.json

After ground.py, on its bank of answers. Questions --skip and on are held out. The rules by which people choose are measures of text, never
the model's own log-ratios, and what is reported of them is the same measure on other questions.
"""

import json
import pathlib
import subprocess

import numpy as np
from measures import MEASURES, measures
from posterior import best_pair, p_first, posterior

from ground import interval
from metrics import damage
from server import Server, axes_of, kept, parser

# Who they are: an axis, and the side of it that they take.
RULES = [("length", -1), ("formality", 1), ("expertise", -1), ("warmth", 1), ("examples", 1), ("layout", 1)]
CHOICES = 15
SAMPLES = 10_000


def arguments():
    found = parser(__doc__)
    add = found.add_argument
    add("--skip", type=int, default=40, help="questions that ground.py may have used")
    add("--held-out", type=int, default=30)
    add("--people", type=int, default=30)
    add("--rules", nargs="*", default=[axis for axis, _ in RULES])
    add("--ground", type=pathlib.Path, required=True, help="ground.py's --out")
    add("--measured", type=pathlib.Path, required=True, help="ground.py's --results")
    return found.parse_args()


def bank(args, measured, names):
    """By question, its answers with their features in standard deviations and what can be checked of them."""
    rated = kept(args.ground / "text.jsonl", "id")
    found = {}
    for key, row in kept(args.ground / "bank.jsonl", "key").items():
        if key in rated:
            features = rated[key]["features"]
            phi = [(features[name] - mean) / deviation for name, mean, deviation in zip(names, measured["mean"], measured["deviation"])]
            answer = {"phi": np.array(phi), "checked": measures(row["response"]), "text": row["response"], "question": row["question"]}
            found.setdefault(row["key"][0], []).append(answer)
    return [answers for answers in found.values() if len(answers) >= 4]


def offer(rng, bank, mean, covariance, active):
    """Four answers to a question, and the two of them that are shown."""
    answers = bank[rng.integers(len(bank))]
    four = [answers[i] for i in rng.choice(len(answers), 4, replace=False)]
    a, b = best_pair(mean, covariance, [answer["phi"] for answer in four]) if active else (0, 1)
    return four[a], four[b]


def learn(rng, bank, choose, count, active=True):
    """A person's choices: differences, shares, and the answers that they took."""
    axes = len(bank[0][0]["phi"])
    differences, shares, taken = [], [], []
    mean, covariance = np.zeros(axes), np.eye(axes)
    for _ in range(count):
        first, second = offer(rng, bank, mean, covariance, active)
        share = choose(first, second)
        differences.append(first["phi"] - second["phi"])
        shares.append(share)
        taken.append(first if share > 0.5 else second)
        mean, covariance = posterior(differences, shares)
    return differences, shares, taken, mean, covariance


def cosine(a, b):
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b) + 1e-12))


def simulated(args, bank, rng):
    """The cosine between the w of simulated people and what was learnt of it, with the pair that says most and with any."""
    found = {}
    for active in (True, False):
        cosines = {count: [] for count in (5, 10, 15, 50)}
        for person in range(args.people):
            own = np.random.default_rng([7, person])
            true = own.normal(size=len(bank[0][0]["phi"]))
            choose = lambda a, b, own=own, true=true: float(own.random() < 0.05 + 0.9 * (p_first(true @ (a["phi"] - b["phi"])) > own.random()))
            differences, shares, *_ = learn(own, bank, choose, 50, active)
            for count in cosines:
                mean, _ = posterior(differences[:count], shares[:count])
                cosines[count].append(cosine(mean, true))
        rows = {}
        for count, values in cosines.items():
            values = np.array(values)
            medians = np.median(values[rng.integers(len(values), size=(SAMPLES, len(values)))], axis=1)
            rows[count] = {"median": float(np.median(values)), "interval": interval(medians)}
        found["active" if active else "random"] = rows
    return found


def persona(names, differences, shares):
    taken = {1.0: "first", 0.0: "second", 0.5: "same"}
    choices = [{"difference": list(map(float, d)), "taken": taken[s]} for d, s in zip(differences, shares)]
    return {"format": "periapt-persona/1", "axes": names, "choices": choices, "held": [None] * len(names), "paused": False}


def engine(args, file, mean):
    """What the program makes of a person: how it leans. Its posterior is that of the plain fit, or this ends."""
    command = [args.periapt, "persona", "show", "--json", "--persona", str(file), "--model", args.model]
    shown = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert np.allclose([axis["weight"] for axis in shown["axes"]], mean, atol=1e-5), "the engine's posterior is another one"
    return shown


def exact(axes, differences, shares):
    """EXACT's choice (arXiv 2602.17695) of one attribute: the instruction under which the choices are likeliest."""
    d, s = np.array(differences), np.array(shares)
    best = None
    for at, axis in enumerate(axes):
        for end, sign in (("minus", -1), ("plus", 1)):
            p = p_first(sign * d[:, at])
            likelihood = float(s @ np.log(p) + (1 - s) @ np.log1p(-p))
            if best is None or likelihood > best[0]:
                best = (likelihood, axis[end]["instruction"])
    return best[1]


def gain(values, base, typed, rng):
    """The share of a typed wish's gain, of means, with an interval from samples of questions."""
    values, base, typed = map(np.array, (values, base, typed))
    chosen = rng.integers(len(values), size=(SAMPLES, len(values)))
    mean = lambda of: of[chosen].mean(axis=1)
    whole = mean(typed) - mean(base)
    return {
        "gain": float((values - base).mean()),
        "interval": interval(mean(values) - mean(base)),
        "share": float((values - base).mean() / (typed - base).mean()) if (typed - base).mean() else None,
        "share_interval": interval((mean(values) - mean(base))[np.abs(whole) > 1e-9] / whole[np.abs(whole) > 1e-9]),
    }


def main():
    args = arguments()
    axes = axes_of(args.periapt)
    names = [axis["name"] for axis in axes]
    measured = json.loads(args.measured.read_text())["measured"]
    answers = bank(args, measured, names)
    rng = np.random.default_rng(11)
    result = {"model": args.model, "people": args.people, "simulated": simulated(args, answers, rng)}

    # People who choose by a measure of the text alone.
    rows, people = [], {}
    for axis, sign in RULES:
        if axis not in args.rules:
            continue
        score = lambda answer, axis=axis, sign=sign: sign * answer["checked"][axis]
        choose = lambda a, b, score=score: 1.0 if score(a) > score(b) else 0.0 if score(a) < score(b) else 0.5
        differences, shares, taken, mean, covariance = learn(np.random.default_rng([22, names.index(axis)]), answers, choose, CHOICES)
        file = args.ground / f"person-{axis}.json"
        file.write_text(json.dumps(persona(names, differences, shares)))
        shown = engine(args, file, mean)
        instruction = axes[names.index(axis)]["minus" if sign < 0 else "plus"]["instruction"]
        distinct = list({answer["text"]: answer for answer in reversed(taken)}.values())[:3]
        people[axis] = {
            "towards": axes[names.index(axis)]["minus" if sign < 0 else "plus"]["name"], "leans": shown["leans"], "instruction": instruction,
            "exact": exact(axes, differences, shares), "examples": [[answer["question"], answer["text"]] for answer in distinct],
            "weights": mean.tolist(), "deviations": np.sqrt(np.diag(covariance)).tolist(),
        }
    held_out = json.loads(args.questions.read_text())[args.skip : args.skip + args.held_out]
    for at, question in enumerate(held_out):
        rows.append({"key": [at, "", "base"], "question": question, "alignment": {"method": "base"}})
        for axis, person in people.items():
            lean = {one["axis"]: one["k"] for one in person["leans"]}
            arms = {
                "learnt": {"lean": lean, "plausibility": 0.1},
                "typed": {"method": "la", "strength": 2, "plausibility": 0.1, "preference": person["instruction"]},
                "typed, told": {"method": "pref", "preference": person["instruction"]},
                "EXACT": {"method": "pref", "preference": person["exact"]},
            }
            for arm, alignment in arms.items():
                rows.append({"key": [at, axis, arm], "question": question, "alignment": alignment})
            earlier = [message for q, a in person["examples"] for message in ({"role": "user", "content": q}, {"role": "assistant", "content": a})]
            rows.append({"key": [at, axis, "examples"], "question": question, "alignment": {"method": "base"}, "earlier": earlier})

    # Random clicks.
    random = []
    for person in range(args.people):
        own = np.random.default_rng([5, person])
        differences, shares, _, mean, covariance = learn(own, answers, lambda a, b, own=own: float(own.integers(2)), CHOICES)
        file = args.ground / "person-random.json"
        file.write_text(json.dumps(persona(names, differences, shares)))
        leans = engine(args, file, mean)["leans"]
        deviation = np.sqrt(np.diag(covariance))
        random.append({"covered": np.abs(mean) < 1.96 * deviation, "leans": leans})
        if person < 5:
            preferences = []
            for one in leans:
                axis = axes[names.index(one["axis"])]
                preferences += [{"text": axis["plus"]["instruction"], "weight": one["k"]}, {"text": axis["minus"]["instruction"], "weight": -one["k"]}]
            for at, question in enumerate(held_out[:2]):
                alignment = {"preferences": preferences, "kl_budget": 1e3}
                rows.append({"key": [at, str(person), "random"], "question": question, "alignment": alignment})

    with Server(args.periapt, args.model, args.device, args.ground / "server.log") as server:
        ask = lambda row: server.ask(row["question"], row["alignment"], args.max_new_tokens, system="", earlier=row.get("earlier", ()))
        said = server.all(rows, args.ground / "people.jsonl", ask)
    by = {tuple(row["key"]): row for row in said}
    result["random"] = {
        "covers_0": float(np.mean([one["covered"] for one in random])),
        "all_axes_cover_0": float(np.mean([one["covered"].all() for one in random])),
        "mean_kl": float(np.mean([row["kl"] for row in said if row["key"][2] == "random" and row["kl"] is not None])),
        "largest_k": float(max([abs(lean["k"]) for one in random for lean in one["leans"]] or [0.0])),
    }
    result["rules"] = {}
    for axis, person in people.items():
        sign = dict(RULES)[axis]
        of = lambda arm, axis=axis, sign=sign: [sign * MEASURES[axis](by[at, axis if arm != "base" else "", arm]["response"]) for at in range(len(held_out))]
        base, typed = of("base"), of("typed")
        cost = lambda arm, axis=axis, person=person: {
            name: float(np.mean([
                value for at, question in enumerate(held_out)
                if (value := damage(by[at, axis, arm]["response"], question, person["instruction"])[name]) is not None
            ]))
            for name in ("repetition", "echo", "relevance")
        }
        arms = ("learnt", "typed", "typed, told", "examples", "EXACT")
        result["rules"][axis] = {**person, "arms": {arm: {**gain(of(arm), base, typed, rng), **cost(arm)} for arm in arms}}
    shares = {arm: [one["arms"][arm]["share"] for one in result["rules"].values() if one["arms"][arm]["share"] is not None] for arm in arms}
    result["median_share"] = {arm: float(np.median(values)) for arm, values in shares.items()}
    args.results.write_text(json.dumps(result, indent=1) + "\n")
    for kind, by_count in result["simulated"].items():
        print(kind, {count: f"{one['median']:.2f} ({one['interval'][0]:.2f} to {one['interval'][1]:.2f})" for count, one in by_count.items()})
    print("random clicks", result["random"])
    for axis, one in result["rules"].items():
        print(axis, one["towards"], [(lean["towards"], round(lean["k"], 2)) for lean in one["leans"]])
        for arm, values in one["arms"].items():
            share = "-" if values["share"] is None else f"{values['share']:.2f}"
            print(f"   {arm:12} gain {values['gain']:.2f} ({values['interval'][0]:.2f} to {values['interval'][1]:.2f}) share {share} echo {values['echo']:.2f} repetition {values['repetition']:.3f}")
    print("median share", result["median_share"])


if __name__ == "__main__":
    main()
