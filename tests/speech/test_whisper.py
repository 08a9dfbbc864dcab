import pytest
from faster_whisper.tokenizer import _LANGUAGE_CODES

from gateway.speech.languages import CODES
from gateway.speech.whisper import length


def test_the_languages_are_whispers() -> None:
    assert set(_LANGUAGE_CODES) == CODES


@pytest.mark.parametrize("prompt", [3, 100, 227])
@pytest.mark.parametrize("seconds", [0.6, 3, 30])
def test_a_short_piece_has_room_for_less_text(seconds: float, prompt: int) -> None:
    told = length(seconds, prompt)
    assert told <= 448  # what the model can see
    room = min(told // 2, told - prompt)  # as CTranslate2 has it
    assert room >= min(221, 5 * seconds)
    assert room <= 20 + 30 * seconds
