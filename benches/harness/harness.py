"""Has lm-eval answer a multiple choice of 100 items by a model behind `periapt serve`, and compares its log-likelihoods with
those of `periapt score`: harness.py MODEL FOLDER. run.sh installs what it needs.

lm-eval is given the chat's prompt as text, makes token ids of it by the server's /tokenize, and rates them by /v1/completions
with echo. `periapt score` has the question alone, and the model's chat template. Of both an answer's log-likelihood is what its
text adds to the stem before it."""

import json
import math
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

PERIAPT = os.environ.get("PERIAPT", "target/release/periapt")
TASK, STEM = "periapt_items", "The answer is"
# Nats.
MOST = 1e-3
CAPITALS = (
    "France Paris, Italy Rome, Spain Madrid, Portugal Lisbon, Greece Athens, Austria Vienna, Hungary Budapest, Poland Warsaw, "
    "Norway Oslo, Sweden Stockholm, Finland Helsinki, Denmark Copenhagen, Ireland Dublin, Belgium Brussels, Germany Berlin, "
    "Switzerland Bern, Egypt Cairo, Kenya Nairobi, Ghana Accra, Japan Tokyo, China Beijing, Vietnam Hanoi, Thailand Bangkok, "
    "Peru Lima, Chile Santiago, Cuba Havana, Canada Ottawa, Russia Moscow, Turkey Ankara, Iran Tehran, Iraq Baghdad, Ukraine Kyiv"
)


def items():
    """100 questions with four answers each, the right one's place, and its place among them."""
    pairs = [pair.split() for pair in CAPITALS.split(", ")]
    made = []
    for number, (country, capital) in enumerate(pairs):
        others = [pairs[(number + step) % len(pairs)][1] for step in (3, 7, 12)]
        made.append((f"What is the capital of {country}?", capital, others))
    for number in range(100 - len(made)):
        a, b = 2 + number * 7 % 19, 3 + number * 5 % 17
        made.append((f"What is {a} plus {b}?", str(a + b), [str(a + b + off) for off in (1, -1, 10)]))
    for number, (question, right, others) in enumerate(made):
        at = number % 4
        yield {"question": question, "choices": [*others[:at], right, *others[at:]], "answer": at}


def post(origin, path, body):
    request = urllib.request.Request(f"{origin}{path}", json.dumps(body).encode())
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read())


def harness(origin, model, folder, all_items):
    """lm-eval's log-likelihoods: of each item one a choice."""
    # The prompt of `periapt score` without the preference.
    system = {"role": "system", "content": ""}
    messages = [[system, {"role": "user", "content": item["question"]}] for item in all_items]
    data = folder / "items.jsonl"
    with data.open("w") as out:
        for item, chat in zip(all_items, messages):
            ids = post(origin, "/tokenize", {"messages": chat})["tokens"]
            prompt = post(origin, "/detokenize", {"tokens": ids})["content"]
            out.write(json.dumps({**item, "prompt": prompt + STEM}) + "\n")
    task = {
        "task": TASK,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{prompt}}",
        "doc_to_choice": "choices",
        "doc_to_target": "answer",
        "metric_list": [{"metric": "acc"}],
    }
    # YAML holds JSON.
    tasks = folder / "tasks"
    tasks.mkdir(exist_ok=True)
    (tasks / f"{TASK}.yaml").write_text(json.dumps(task))
    results = folder / "results"
    for old in results.glob("**/samples_*"):
        old.unlink()
    how = f"model={model},base_url={origin}/v1/completions,num_concurrent=4"
    command = [sys.executable, "-m", "lm_eval", "run", "--model", "local-completions", "--model_args", how, "--tasks", TASK]
    command += ["--include_path", str(tasks), "--log_samples", "--output_path", str(results)]
    environment = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(folder.absolute() / "home")}
    subprocess.run(command, env={**os.environ, **environment}, check=True)
    (samples,) = results.glob("**/samples_*")
    lines = sorted((json.loads(line) for line in samples.read_text().splitlines()), key=lambda line: line["doc_id"])
    return [[float(choice[0]) for choice in line["filtered_resps"]] for line in lines]


def scores(path, folder, all_items):
    """`periapt score`'s, from its perplexities without the preference."""
    lines = folder / "score.jsonl"
    with lines.open("w") as out:
        for item in all_items:
            for response in (STEM, *(f"{STEM} {choice}" for choice in item["choices"])):
                out.write(json.dumps({"question": item["question"], "preference": "concise", "response": response}) + "\n")
    command = [PERIAPT, "score", "--device", "cpu", "--model", path, "--reward", "preference", "--json", "--lines", str(lines)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    scored = [json.loads(line) for line in done.stdout.splitlines()]
    whole = [-score["tokens"] * math.log(score["base_perplexity"]) for score in scored]
    each = len(whole) // len(all_items)
    return [[one - of[0] for one in of[1:]] for of in (whole[at : at + each] for at in range(0, len(whole), each))]


def main():
    model, folder = sys.argv[1], Path(sys.argv[2])
    path = subprocess.run([PERIAPT, "models", "path", model], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    all_items = list(items())
    (folder / "index.html").touch()
    command = [PERIAPT, "serve", "--port", "0", "--page", str(folder), "--device", "cpu", "--model", path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            origin = server.stdout.readline().strip().rstrip("/")
            theirs = harness(origin, model, folder, all_items)
        finally:
            server.terminate()
    ours = scores(path, folder, all_items)
    pairs = [pair for of in zip(theirs, ours, strict=True) for pair in zip(*of, strict=True)]
    differences = [abs(a - b) for a, b in pairs]
    right = [sum(max(range(4), key=of.__getitem__) == item["answer"] for of, item in zip(by, all_items)) for by in (theirs, ours)]
    lowest, highest = min(b for _, b in pairs), max(b for _, b in pairs)
    print(f"{len(all_items)} items, {len(pairs)} log-likelihoods of {lowest:.2f} to {highest:.2f} nats")
    print(f"right: lm-eval {right[0]}, periapt score {right[1]}")
    print(f"largest difference {max(differences):.2e} nats, mean {sum(differences) / len(differences):.2e}")
    sys.exit(max(differences) > MOST)


main()
