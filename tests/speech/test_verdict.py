import pytest

from gateway.speech.verdict import LOW, verdict
from gateway.wire.events import Reason, Verdict

S = 16_000


@pytest.mark.parametrize(
    ("received", "speech", "silence", "segments", "wanted", "reasons"),
    [
        (0, 0, True, 0, "none", ("silence",)),
        (60 * S, 0, True, 0, "none", ("silence",)),
        (60 * S, 0, False, 0, "none", ("no_voice",)),
        (60 * S, 3 * S, False, 1, "low", ("little_voice",)),
        (60 * S, 3 * S, False, 0, "low", ("little_voice", "no_words")),
        (60 * S, 30 * S, False, 0, "low", ("no_words",)),
        (60 * S, 30 * S, False, 9, "ok", ()),
        (60 * S, int(60 * S * LOW), False, 1, "ok", ()),
    ],
)
def test_the_verdict_says_how_much_was_speech_and_why(
    received: int, speech: int, silence: bool, segments: int, wanted: Verdict, reasons: tuple[Reason, ...]
) -> None:
    found = verdict(received=received, speech=speech, silence=silence, segments=segments)
    assert found == (wanted, reasons)
