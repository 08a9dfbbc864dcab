import pytest

from gateway.speech import context


@pytest.mark.parametrize(
    ("length_s", "wanted"), [(0.5, 10), (5, 10), (5.1, 15), (10, 15), (24.9, 30), (25.1, 30), (30, 30)]
)
def test_base_hears_its_window_and_five_seconds(length_s: float, wanted: int) -> None:
    assert context.seconds("base", length_s) == wanted


@pytest.mark.parametrize("model", ["tiny", "tiny.en", "small", "someones-own"])
def test_a_model_that_was_not_measured_gets_the_whole_context(model: str) -> None:
    assert context.seconds(model, 3) == context.FULL_S
