"""What can be checked of an answer along each axis, without a model: more is more of the axis' plus."""

import math
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from metrics import SENTIMENT, bullets, style, words  # noqa: E402

INSTANCE = re.compile(r"\b(?:for example|for instance|such as|e\.g|including|imagine|like when|consider an?)\b", re.IGNORECASE)


def layout(text):
    lines = [line for line in text.splitlines() if line.strip()]
    return bullets(text) / max(len(lines), 1)


def warmth(text):
    polarity = SENTIMENT.polarity_scores(text)
    return polarity["pos"] - polarity["neg"]


# By axis; each was written down before any answer was looked at.
MEASURES = {
    "length": lambda text: math.log(1 + len(words(text))),
    "formality": lambda text: style("formal", text, ""),
    "expertise": lambda text: style("creative", text, ""),
    "warmth": warmth,
    "examples": lambda text: 100 * len(INSTANCE.findall(text)) / max(len(words(text)), 1),
    "layout": layout,
}

UNITS = {
    "length": "log (1 + words)",
    "formality": "less contractions, exclamation marks and second person in 100 words",
    "expertise": "words of Zipf frequency under 4 in 100",
    "warmth": "VADER's positive less its negative share",
    "examples": "for example, such as, imagine ... in 100 words",
    "layout": "share of lines that are list items",
}


def measures(text):
    return {axis: measure(text) or 0.0 for axis, measure in MEASURES.items()}
