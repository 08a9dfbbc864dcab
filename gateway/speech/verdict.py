"""What is said at the end of how much of a sound was speech, and why there is little text. Pure."""

from gateway.wire.events import Reason, Verdict

LOW = 0.1  # less of the sound than this is speech: the verdict is low


def verdict(
    *, received: int, speech: int, silence: bool, segments: int
) -> tuple[Verdict, tuple[Reason, ...]]:
    """The verdict and its reasons, of samples in all and of speech."""
    if not speech:
        return "none", ("silence" if silence else "no_voice",)
    reasons: list[Reason] = []
    if speech < LOW * received:
        reasons.append("little_voice")
    if not segments:
        reasons.append("no_words")
    return ("low" if reasons else "ok"), tuple(reasons)
