"""What of an answer can be checked without a model."""

import re

import textstat
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer
from wordfreq import zipf_frequency

from generate import CONSTRAINTS

SENTIMENT = SentimentIntensityAnalyzer()
STOP = set(
    "a about after all also an and any are as at be because been but by can could did do does for from had has have he her his how i if in "
    "into is it its just like me more most my no not of on one only or other our out over she should so some such than that the their them "
    "then there these they this to up us was we were what when where which who why will with would you your".split()
)


def words(text):
    return re.findall(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*", text)


def sentences(text):
    """Stretches that end in a full stop, a question or exclamation mark, or at a line's end, and hold a word."""
    return [part for part in re.split(r"(?<=[.!?])[\"'\u201d\u2019)\]]*\s+|\n+", text.strip()) if words(part)]


def bullets(text):
    return len(re.findall(r"^\s*(?:[-*\u2022]|\d+[.)])\s+\S", text, re.MULTILINE))


def fulfils(name, text, ended):
    """Whether a constraint holds; what concerns an answer's end can't of one that was cut."""
    text = text.strip()
    if not words(text):
        return False
    match name:
        case "two sentences":
            return ended and len(sentences(text)) <= 2
        case "three bullets":
            return ended and bullets(text) == 3
        case "lower case":
            return text == text.lower()
        case "no commas":
            return "," not in text
        case "question":
            return ended and text.rstrip("\"'*_)\u201d\u2019 ").endswith("?")
        case "for example":
            return "for example" in text.lower()
    raise KeyError(name)


def without(text, wish):
    """The text without the wish's own words, which count for nothing."""
    own = {word.lower() for word in words(wish)} - STOP
    return re.sub(r"[^\W\d_]+", lambda word: "" if word[0].lower() in own else word[0], text)


def style(name, text, wish):
    """How far an answer goes in a style, so that more is more of it; None where that can't be said."""
    if name in ("concise", "verbose"):
        return (-1 if name == "concise" else 1) * len(words(text))
    text = without(text, wish)
    count = max(len(words(text)), 1)
    if not words(text):
        return None
    match name:
        case "formal":
            contractions = len(re.findall(r"\w['\u2019](?:t|s|re|ve|ll|d|m)\b", text))
            second_person = len(re.findall(r"\byou(?:r|rs|rself|rselves)?\b", text, re.IGNORECASE))
            return -100 * (contractions + text.count("!") + second_person) / count
        case "complex":
            return textstat.flesch_kincaid_grade(text)
        case "uplifting" | "pleasant":
            return SENTIMENT.polarity_scores(text)["compound"]
        case "creative":
            return 100 * sum(zipf_frequency(word.lower(), "en") < 4 for word in words(text)) / count
    return None


UNITS = {
    "concise": "words, fewer is better",
    "verbose": "words",
    "formal": "contractions, exclamation marks and second person in 100 words, fewer is better",
    "complex": "Flesch-Kincaid grade",
    "uplifting": "VADER compound",
    "pleasant": "VADER compound",
    "creative": "words of Zipf frequency under 4 in 100",
}


def damage(text, question, wish):
    """Repetition of 4-grams, echoes of the wish in 100 words, and the share of the question's content words taken up."""
    spoken = [word.lower() for word in words(text)]
    grams = list(zip(*(spoken[at:] for at in range(4))))
    asked = {word.lower() for word in words(question)} - STOP
    own = ({word.lower() for word in words(wish)} - STOP) - asked
    return {
        "repetition": 1 - len(set(grams)) / len(grams) if grams else 0.0,
        "echo": 100 * sum(word in own for word in spoken) / max(len(spoken), 1),
        "relevance": len(asked & set(spoken)) / len(asked) if asked else None,
    }


def name_of(preference):
    """A wish's name, from what was asked for."""
    return next((name for name, text in CONSTRAINTS.items() if text == preference), preference)
