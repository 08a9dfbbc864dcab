"""How much the encoder hears for a window: its length and some silence, not always 30 s.

The encoder's cost grows with its context. Without silence after the speech the model loops;
how much it needs was measured per model. A model that was not measured gets all it was made for.
"""

FULL_S = 30  # what Whisper was trained on
_STEP_S = 5  # windows of equal context share a batch; padding a batch to its longest changes texts

# word error rates: base 5.40 % with 5 s and with the full 30 s, 6.47 % with 3 s;
# tiny goes from 12.1 to 16.4 % with 5 s, so it is not here
_SILENCE_S = {"base": 5}


def seconds(model: str, length_s: float, silence_s: float | None = None) -> int:
    """The encoder's context for a window of `length_s`; `silence_s` where the operator knows better."""
    if silence_s is None:
        silence_s = _SILENCE_S.get(model, FULL_S)
    return min(FULL_S, int(-(-(length_s + silence_s) // _STEP_S)) * _STEP_S)
