"""The fifth turn of a chat with the cache and without: how many tokens of its prompts are computed by `periapt serve`, and the
time to its first token, streamed, in turns in one run.

    python3 benches/turns/run.py [MODEL]

Build Periapt first (make build). PERIAPT_ROUNDS (5) conversations, each about something else, so that none finds another's keys
and values. Prints medians with the lowest and highest, and ratios by round."""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

PERIAPT = os.environ.get("PERIAPT", "target/release/periapt")
ROUNDS = int(os.environ.get("PERIAPT_ROUNDS", "5"))
TOKENS = 64
ABOUT = ["rent", "bread", "owls", "rain", "chess", "tea", "glass", "maps", "salt", "bees"]
TURNS = [
    "I would like to know more about {}. Where should I begin, and what do people who know nothing of it get wrong?",
    "Tell me something about its history, and who played a part in it.",
    "What does it cost, and what does that depend on?",
    "Which mistakes do people make with it, and how are they avoided?",
    "Which book about it would you recommend?",
]
# Without a preference, and with one as it is recommended: two prompts.
ALIGNMENTS = {"base": {"method": "base"}, "la": {"preference": "concise", "method": "la", "strength": 2, "plausibility": 0.1}}


class Server:
    """`periapt serve` with that cache."""

    def __init__(self, model, cache, page):
        command = [PERIAPT, "serve", "--port", "0", "--page", page, "--device", "cpu", "--model", model, *cache]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.origin = self.process.stdout.readline().strip().rstrip("/")

    def tokens(self, what):
        with urllib.request.urlopen(f"{self.origin}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        return sum(int(float(line.split()[-1])) for line in lines if line.startswith(f"periapt_model_{what}_tokens"))

    def turn(self, messages, alignment):
        """An answer, and the seconds to its first piece."""
        body = {"messages": messages, "stream": True, "max_tokens": TOKENS, "alignment": alignment}
        request = urllib.request.Request(f"{self.origin}/v1/chat/completions", json.dumps(body).encode())
        text, first, began = "", None, time.monotonic()
        with urllib.request.urlopen(request) as answer:
            for line in answer:
                if not line.startswith(b"data: {"):
                    continue
                choices = json.loads(line[6:])["choices"]
                piece = choices[0]["delta"].get("content") if choices else None
                if piece and first is None:
                    first = time.monotonic() - began
                text += piece or ""
        # An answer may be empty.
        return text, first if first is not None else time.monotonic() - began

    def measured(self, messages, alignment):
        before = [self.tokens(what) for what in ("read", "reused")]
        _, first = self.turn(messages, alignment)
        read, reused = [self.tokens(what) - had for what, had in zip(("read", "reused"), before)]
        return {"seconds": first, "computed": read, "reused": reused}


def say(name, warm, cold):
    def spread(values):
        return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"

    seconds = [[one["seconds"] for one in of] for of in (warm, cold)]
    ratios = [b / a for a, b in zip(*seconds)]
    times = f"{spread(seconds[0])} s with the cache, {spread(seconds[1])} s without"
    print(f"{name}: {times}; {spread(ratios)} times as long", end="")
    tokens = [[one["computed"] for one in of] for of in (warm, cold)]
    print(f"; computed {tokens[0]} and {tokens[1]} tokens, reused {[one['reused'] for one in warm]}")


def main():
    model = sys.argv[1] if len(sys.argv) > 1 else "qwen2.5-coder:0.5b"
    path = subprocess.run([PERIAPT, "models", "path", model], capture_output=True, text=True, check=True).stdout.strip()
    found = {name: ([], []) for name in ALIGNMENTS}
    with tempfile.TemporaryDirectory() as page, contextlib.ExitStack() as stack:
        open(f"{page}/index.html", "w", encoding="utf-8").close()
        servers = [Server(path, cache, page) for cache in ([], ["--cache", "0"])]
        for server in servers:
            stack.callback(server.process.terminate)
            # Which loads the model.
            server.turn([{"role": "user", "content": "Hello."}], {"method": "base"})
        for number in range(ROUNDS):
            about = ABOUT[number % len(ABOUT)]
            order = (0, 1) if number % 2 == 0 else (1, 0)
            for name, alignment in ALIGNMENTS.items():
                messages = []
                for turn in TURNS[:-1]:
                    messages.append({"role": "user", "content": turn.format(about)})
                    messages.append({"role": "assistant", "content": servers[0].turn(messages, alignment)[0]})
                messages.append({"role": "user", "content": TURNS[-1]})
                for at in order:
                    found[name][at].append(servers[at].measured(messages, alignment))
            print(f"round {number + 1} of {ROUNDS}", file=sys.stderr)
    for name, (warm, cold) in found.items():
        say(name, warm, cold)


main()
