"""OpenAI's Python package against a running `periapt serve`: client.py HOW, where HOW is JSON. Its `wanted` is what `periapt
generate` answers to its `question` with its `alignment`, and `long` how many tokens an answer has that is broken off. Ends with
an error where something is not as it should be."""

import json
import sys
import time
import urllib.request

import openai

HOW = json.loads(sys.argv[1])
ORIGIN, QUESTION, WANTED, ALIGNMENT, LONG = (HOW[name] for name in ("origin", "question", "wanted", "alignment", "long"))
ASKED = {"model": "llama", "messages": [{"role": "user", "content": QUESTION}], "max_tokens": 24}
client = openai.OpenAI(base_url=f"{ORIGIN}/v1", api_key="none", max_retries=0, timeout=60)


def chat(**more):
    return client.chat.completions.create(**{**ASKED, **more})


def streamed(**more):
    """The texts and ends of a streamed chat's choices, all its log-probabilities, and its last event."""
    texts, ends, tokens, last = {}, {}, [], None
    for last in chat(stream=True, stream_options={"include_usage": True}, **more):
        for choice in last.choices:
            texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
            ends[choice.index] = choice.finish_reason or ends.get(choice.index)
            tokens += choice.logprobs.content if choice.logprobs else []
    return texts, ends, tokens, last


def same(got, wanted):
    assert got == wanted, f"{got!r} is not {wanted!r}"


def metric(name):
    text = urllib.request.urlopen(f"{ORIGIN}/metrics").read().decode()
    return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"{name} "))


def answers():
    """Streamed and not; three at once; what they count."""
    for more in ({}, {"n": 3, "temperature": 1.5, "seed": 5}):
        whole = chat(**more)
        texts, ends, _, last = streamed(**more)
        same(len(whole.choices), more.get("n", 1))
        same(texts, {choice.index: choice.message.content for choice in whole.choices})
        same(ends, {choice.index: choice.finish_reason for choice in whole.choices})
        same(last.usage, whole.usage)
    assert len({choice.message.content for choice in whole.choices}) > 1, "three draws are one"


def log_probabilities():
    whole = chat(logprobs=True, top_logprobs=2).choices[0]
    _, _, tokens, last = streamed(logprobs=True, top_logprobs=2)
    same(tokens, whole.logprobs.content)
    same(len(tokens), last.usage.completion_tokens)
    for token in tokens:
        same(len(token.top_logprobs), 2)
        # Greedy: what was taken is the likeliest.
        same(token.logprob, token.top_logprobs[0].logprob)


def stops():
    whole = chat().choices[0].message.content
    stop = whole[5:7]
    cut = chat(stop=[stop]).choices[0]
    same((cut.message.content, cut.finish_reason), (whole[: whole.index(stop)], "stop"))
    texts, ends, _, _ = streamed(stop=stop)
    same((texts[0], ends[0]), (cut.message.content, "stop"))


def alignment():
    whole = chat(extra_body={"alignment": ALIGNMENT})
    same(whole.choices[0].message.content, WANTED)
    same((whole.alignment["method"], whole.alignment["strength"]), ("la", 2))
    same(streamed(extra_body={"alignment": ALIGNMENT})[0], {0: WANTED})
    same(chat(model="llama@brief").alignment["preference"], "brief")


def texts():
    """A text rated by echo, and the models."""
    rated = client.completions.create(model="llama", prompt=QUESTION, echo=True, logprobs=1, max_tokens=0).choices[0]
    same(rated.text, QUESTION)
    same((len(rated.logprobs.tokens), rated.logprobs.token_logprobs[0]), (len(rated.logprobs.token_logprobs), None))
    assert all(one <= 0 for one in rated.logprobs.token_logprobs[1:]), rated
    assert "llama" in [model.id for model in client.models.list()]


def errors():
    for more, kind, code in (
        ({"model": "gpt-5"}, openai.NotFoundError, "model_not_found"),
        ({"extra_body": {"foo": 1}}, openai.BadRequestError, "unknown_parameter"),
    ):
        try:
            chat(**more)
        except kind as error:
            same(error.code, code)
        else:
            raise AssertionError(f"{more} was taken")


def closing():
    """Who closes a stream is answered no further: its rows leave the batch."""
    before = metric("periapt_generated_tokens_total")
    stream = chat(stream=True, n=8, max_tokens=LONG)
    next(iter(stream))
    assert metric("periapt_requests_in_progress") == 1
    stream.close()
    while metric("periapt_requests_in_progress") > 0:
        time.sleep(0.01)
    tokens = metric("periapt_generated_tokens_total") - before
    assert tokens < 8 * LONG, f"all {tokens} tokens were made"


for check in (answers, log_probabilities, stops, alignment, texts, errors, closing):
    check()
