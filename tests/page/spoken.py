"""What is said in a post, as a test tells it: no model is asked, and every word has its time."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from gateway.speech.messages import Options
from gateway.speech.transcript import Ending, Origin
from gateway.wire.events import Info, Segment, Word
from tests.web.conftest import Front
from tests.web.script import Script

CLIPS = Path(__file__).parents[1] / "origin" / "clips"
NARRATION = (CLIPS / "narration.txt").read_text("utf-8")
LONG_S = 23.2  # of the spoken clip
WORDS = Options(words=True)  # what the page asks for
MUSIC = "6900000000000000001"  # the sound of every photo post of the origin


def sentences(text: str, long_s: float = LONG_S) -> list[Segment]:
    """A text as segments, a sentence each, its words spread over the time."""
    lines = [line.split() for line in text.replace(". ", ".\n").splitlines()]
    step_s = long_s / sum(len(line) for line in lines)
    found, at = [], 0
    for number, line in enumerate(lines):
        edges = [round((at + place) * step_s, 3) for place in range(len(line) + 1)]
        at += len(line)
        words = tuple(
            Word(start, end, f" {word}", 0.4 if word == "notebook," else 0.95)
            for word, (start, end) in zip(line, pairwise(edges), strict=True)
        )
        found.append(Segment(number, edges[0], edges[-1], " " + " ".join(line), -0.3, 0.01, 1.1, words=words))
    return found


@contextmanager
def speaking(front: Front, name: str, language: str = "en", long_s: float = LONG_S) -> Iterator[Script]:
    """The transcript that the page gets of a post; it says what it is told to, after its `info`."""
    post = front.origin.scenarios[name]
    key = post.id if post.kind == "video" else f"sound {MUSIC}"
    origin = Origin(post.words.desc[:200], post.url, post.id)
    script = Script(front.gateway.transcripts, (key, WORDS), origin)
    script.say(Info("", language, 0.98, long_s, "base", "speech"))
    try:
        yield script
    finally:
        front.gateway.transcripts.remove(script.transcript)


def whole(script: Script, text: str = NARRATION, long_s: float = LONG_S) -> list[Segment]:
    """All of it at once, to its end."""
    said = sentences(text, long_s)
    script.say(*said, Ending(long_s, "ok"))
    return said


def texts(said: list[Segment]) -> list[str]:
    return [one.text.strip() for one in said]
