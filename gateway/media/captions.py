"""A post's own captions: which of them answer a wish, and a file of them to cues. Pure."""

from collections.abc import Iterable
from itertools import groupby, pairwise
from typing import Literal

import msgspec

from gateway.errors import NotVideoContent, UpstreamFailed
from gateway.media import languages
from gateway.media.post import Caption, Post, Wanted, written
from gateway.wire import subtitles
from gateway.wire.events import Captions
from gateway.wire.subtitles import Cue

Source = Literal["auto", "captions", "speech"]

NO_WEBVTT = "The captions that the site sent are not WebVTT."

_KINDS: dict[str | None, Captions] = {"ASR": "recognised", "MT": "translated"}  # others: the creator's
_TRUST: tuple[Captions, ...] = ("creator", "recognised", "translated")  # of one language, the best first
_WEBVTT = ("webvtt", "vtt", "")
_GLANCE_S = 0.1  # nobody reads a cue of this length; files that roll have them between the others
_ROLLED_MAX = 8  # lines; no screen has room for more


class Chosen(msgspec.Struct, frozen=True):
    """Captions that answer a wish. `language` is our code, empty where the page does not tell."""

    kind: Captions
    language: str
    part: Wanted
    readable: bool = True  # as far as the page tells: it lists files of other formats too


def caption(
    post: Post,
    *,
    source: Source,
    language: str | None = None,
    task: Literal["transcribe", "translate"] = "transcribe",
    modelled: bool = False,
) -> Chosen | None:
    """The captions that answer a wish, None where its speech is to be recognised.

    `modelled`: something was asked for that only the model does, such as the times of words.
    Raises NotVideoContent when captions are asked for and there are none of that kind.
    """
    found = sorted(map(_chosen, post.captions), key=lambda one: (not one.readable, _TRUST.index(one.kind)))
    spoken = _spoken(found)
    as_spoken = [one for one in found if one.language == spoken and one.kind != "translated"]
    if source == "captions":
        wanted = "en" if task == "translate" else language
        fitting = (as_spoken or found) if wanted is None else [one for one in found if one.language == wanted]
        if not fitting:
            raise NotVideoContent(_none(found, wanted))
        return fitting[0]
    if source == "speech" or task == "translate" or modelled:
        return None
    return next((one for one in as_spoken if language in (None, one.language)), None)


def there(post: Post) -> list[Chosen]:
    """All that can be read, of one language the best first."""
    found = [one for one in map(_chosen, post.captions) if one.readable]
    return sorted(found, key=lambda one: (one.language, _TRUST.index(one.kind)))


def cues(file: bytes, duration_s: float | None) -> list[Cue]:
    """The cues of a caption file in the order of time; none overlaps another or the post's end.

    Raises UpstreamFailed when it is no WebVTT.
    """
    try:
        found = subtitles.cues(file.decode("utf-8", "replace"))
    except ValueError:
        raise UpstreamFailed(NO_WEBVTT) from None
    return _apart(_unrolled(sorted(found, key=lambda cue: cue.start)), duration_s)


# The choice


def _chosen(one: Caption) -> Chosen:
    return Chosen(
        kind=_KINDS.get(one.origin, "creator"),
        language=languages.code(one.language),
        part=written(one),
        readable=one.format.lower() in _WEBVTT,
    )


def _spoken(found: list[Chosen]) -> str | None:
    """The language that is spoken, as far as captions tell; None when they do not.

    What was recognised was spoken. Else it is what the creator wrote, if that is one language and the
    site has not translated something into it.
    """
    heard = [one.language for one in found if one.kind == "recognised"]
    if heard:
        return heard[0]
    told = {one.language for one in found if one.kind == "creator"}
    if len(told) != 1 or told & {one.language for one in found if one.kind == "translated"}:
        return None
    return told.pop()


def _none(found: list[Chosen], wanted: str | None) -> str:
    if wanted is None or not found:
        return "The post has no captions."
    there = sorted({one.language for one in found if one.language})
    in_ = f" It has them in: {', '.join(there)}." if there else ""
    return f"The post has no captions in this language: {wanted}.{in_}"


# The file


def _unrolled(rolled: list[Cue]) -> list[Cue]:
    """Without the lines that each cue repeats of the one before, where a file does so throughout.

    Elsewhere a line that comes again was said again.
    """
    repeated = [_repeated(before, cue) for before, cue in pairwise(rolled)]
    if 2 * sum(map(bool, repeated)) < len(repeated) or not repeated:
        return rolled
    found = rolled[:1]
    for cue, lines in zip(rolled[1:], repeated, strict=True):
        if fresh := cue.text.split("\n")[lines:]:
            found.append(msgspec.structs.replace(cue, text="\n".join(fresh)))
        else:  # it leaves standing what was there
            last = found[-1]
            found[-1] = msgspec.structs.replace(last, end=max(last.end, cue.end))
    return found


def _repeated(before: Cue, cue: Cue) -> int:
    """How many of a cue's first lines are the last ones of the cue before."""
    old, new = before.text.split("\n"), cue.text.split("\n")
    if cue.start > before.end + _GLANCE_S or (old == new and cue.end - cue.start > _GLANCE_S):
        return 0
    most = min(len(old), len(new), _ROLLED_MAX)
    return max((n for n in range(1, 1 + most) if old[-n:] == new[:n]), default=0)


def _apart(shown: Iterable[Cue], duration_s: float | None) -> list[Cue]:
    """Each ends where the next begins, at the latest; those that begin together are one. On one line each."""

    def within(time_s: float) -> float:
        return round(time_s if duration_s is None else min(time_s, duration_s), 3)

    found: list[Cue] = []
    for start, together in groupby(shown, lambda cue: within(cue.start)):
        same = list(together)
        if found:
            found[-1] = msgspec.structs.replace(found[-1], end=min(found[-1].end, start))
        text = " ".join(cue.text.replace("\n", " ") for cue in same)
        found.append(Cue(start, max(within(cue.end) for cue in same), text))
    return found
