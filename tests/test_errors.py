import pickle

import pytest

from gateway import errors
from gateway.errors import Busy, PostRefused, VideoPrivate


def test_a_code_leads_back_to_its_error() -> None:
    assert type(errors.by_code("VIDEO_PRIVATE", "words")) is VideoPrivate
    assert errors.by_code("VIDEO_PRIVATE", "words").message == "words"
    assert type(errors.by_code("BUSY")) is Busy
    assert errors.by_code("BUSY").retry_after_s


@pytest.mark.parametrize("code", ["INTERNAL_ERROR", "no such code", ""])
def test_a_code_of_nothing_known_is_internal(code: str) -> None:
    assert errors.by_code(code).status == 500
    assert not isinstance(errors.by_code(code), PostRefused)


def test_errors_cross_a_process_whole() -> None:
    error = pickle.loads(pickle.dumps(Busy("words", retry_after_s=9)))
    assert (type(error), error.message, error.retry_after_s) == (Busy, "words", 9)
