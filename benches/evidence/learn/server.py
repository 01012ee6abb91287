"""A `periapt serve` of one's own, and many questions at once."""

import argparse
import concurrent.futures
import json
import pathlib
import socket
import subprocess
import time
import urllib.request


REPOSITORY = pathlib.Path(__file__).resolve().parents[3]


def parser(doc):
    """A command line with what both measurements take."""
    parser = argparse.ArgumentParser(description=doc.split("\n")[0])
    add = parser.add_argument
    add("--periapt", default=str(REPOSITORY / "target/release/periapt"))
    add("--model", required=True)
    add("--device", default="auto")
    add("--questions", type=pathlib.Path, required=True, help="a JSON list of texts")
    add("--max-new-tokens", type=int, default=64)
    add("--results", type=pathlib.Path, required=True)
    return parser


def axes_of(periapt):
    """The axes, as the program has them."""
    return json.loads(subprocess.run([periapt, "persona", "axes", "--json"], check=True, capture_output=True, text=True).stdout)["axes"]


def kept(file, name):
    """The rows of a file of JSON lines, by what each has under `name`; none where there is no file yet."""
    lines = file.read_text().splitlines() if file.exists() else []
    return {json.dumps(row[name]): row for row in map(json.loads, lines)}


class Server:
    """Serves one model for as long as the block lasts."""

    def __init__(self, periapt, model, device, log, atonce=12):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.model = model
        self.command = [periapt, "serve", "--device", device, "--port", str(self.port)]
        self.log, self.atonce = pathlib.Path(log), atonce

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=self.log.open("w"), stderr=subprocess.STDOUT)
        while self.process.poll() is None:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5)
                return self
            except OSError:
                time.sleep(0.3)
        raise SystemExit(f"{' '.join(self.command)} ended: see {self.log}")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def ask(self, question, alignment, tokens, temperature=0.0, seed=1, system=None, earlier=()):
        """An answer as {"response", "ended", "kl"}."""
        messages = ([{"role": "system", "content": system}] if system is not None else []) + [*earlier, {"role": "user", "content": question}]
        body = {"model": self.model, "messages": messages, "max_tokens": tokens, "temperature": temperature, "seed": seed, "alignment": alignment}
        asked = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(asked, timeout=3600) as answer:
                said = json.load(answer)
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{error}: {error.read().decode()}") from None
        choice = said["choices"][0]
        return {
            "response": choice["message"]["content"].strip(),
            "ended": choice["finish_reason"] == "stop",
            "kl": (choice.get("alignment") or said.get("alignment") or {}).get("mean_kl"),
        }

    def all(self, rows, file, ask):
        """Answers rows by `ask`, each with a key of its own; what `file` holds is not asked again. Rows with their answers."""
        done = kept(file, "key")
        missing = [row for row in rows if json.dumps(row["key"]) not in done]
        with file.open("a") as out, concurrent.futures.ThreadPoolExecutor(self.atonce) as pool:
            for row, answer in zip(missing, pool.map(ask, missing)):
                whole = {**row, **answer}
                out.write(json.dumps(whole) + "\n")
                out.flush()
                done[json.dumps(row["key"])] = whole
        return [done[json.dumps(row["key"])] for row in rows]
