"""A text to WebVTT, timed by the length of its sentences; near enough for a reader of captions."""

import re


def vtt(text: str, duration_s: float) -> str:
    sentences = re.split(r"(?<=[.!?])\s+", text.strip())
    letters = sum(map(len, sentences))
    cues, start = ["WEBVTT"], 0.0
    for sentence in sentences:
        end = start + duration_s * len(sentence) / letters
        cues.append(f"{_clock(start)} --> {_clock(end)}\n{sentence}")
        start = end
    return "\n\n".join(cues) + "\n"


def by_hand(plain: str) -> str:
    """The same as an editor on some machine writes it: with a mark, a note, numbers, places and names."""
    head, *cues = plain.rstrip("\n").split("\n\n")
    lines = ["\ufeff" + head + " - by hand", "", "NOTE checked"]
    for number, cue in enumerate(cues):
        times, text = cue.split("\n")
        lines += ["", str(number), times + " line:85%", "<v Keeper>" + text]
    return "\r\n".join(lines)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds * 1000), 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}"
