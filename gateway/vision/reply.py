"""A model's reply to an Analysis: found wherever it is, and then taken as it stands. Pure.

Always: every value of an analysis stood in the reply; what does not fit raises Unfit and nothing else.
"""

import json
from collections import deque
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from gateway.vision.analysis import FIELDS, Analysis

REPLY_CHARS_MAX = 32_768  # ten times the longest that is right
OPENINGS_MAX = 64  # braces in a text that may begin an object
DEPTH_MAX, PLACES_MAX = 4, 256  # how far an answer may be wrapped up
FAULTS_MAX = 12


class Unfit(Exception):
    """A reply that is no analysis; the text says what is wrong, for the model that is asked again."""


def read(reply: str) -> Analysis:
    """The one analysis in a reply, which may be fenced, wrapped in other objects or have text around it."""
    if len(reply) > REPLY_CHARS_MAX:
        raise Unfit("The reply is too long.")
    places = [place for document in _documents(reply) for place in _within(document)]
    most = max((_known(place) for place in places), default=0)
    if not most:
        raise Unfit("There is no whole JSON object with the fields in the reply.")
    fitting: list[Analysis] = []
    faults = ""
    for place in places:
        if _known(place) < most:
            continue
        try:
            found = Analysis.model_validate(place)
        except ValidationError as error:
            faults = faults or _faults(error)
        else:
            if found not in fitting:
                fitting.append(found)
    if not fitting:
        raise Unfit(faults)
    if len(fitting) > 1:
        raise Unfit("There are several analyses in the reply, and they differ.")
    return fitting[0]


def _documents(text: str) -> Iterator[Any]:
    """The JSON objects in a text, outermost only."""
    at = -1
    for _ in range(OPENINGS_MAX):
        at = text.find("{", at + 1)
        if at < 0:
            return
        try:
            document, end = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):  # too deep for Python is too deep for an analysis
            continue
        yield document
        at = end - 1


def _within(document: Any) -> Iterator[dict[str, Any]]:
    """The objects in a document, itself first."""
    ahead = deque([(document, 0)])
    for _ in range(PLACES_MAX):
        if not ahead:
            return
        value, depth = ahead.popleft()
        if isinstance(value, dict):
            yield value
        if depth < DEPTH_MAX and isinstance(value, dict | list):
            inner = value.values() if isinstance(value, dict) else value
            ahead.extend((one, depth + 1) for one in inner)


def _known(place: dict[str, Any]) -> int:
    return sum(field in place for field in FIELDS)


def _faults(error: ValidationError) -> str:
    """What is wrong, field by field, without the values."""
    return "\n".join(
        f"{'.'.join(str(step) for step in fault['loc'])}: {fault['msg']}"
        for fault in error.errors(include_url=False, include_context=False, include_input=False)[:FAULTS_MAX]
    )


_DECODER = json.JSONDecoder()
