import pytest

from gateway.speech import context


@pytest.mark.parametrize(
    ("length_s", "wanted"), [(0.5, 10), (5, 10), (5.1, 15), (10, 15), (24.9, 30), (25.1, 30), (30, 30)]
)
def test_base_hears_its_window_and_five_seconds(length_s: float, wanted: int) -> None:
    assert context.seconds("base", length_s) == wanted


@pytest.mark.parametrize("model", ["base", "tiny", "someones-own"])
def test_what_is_set_goes_for_every_model(model: str) -> None:
    assert [context.seconds(model, 3, silence_s) for silence_s in (2, 7, 12.5, 30)] == [5, 10, 20, 30]
    assert context.seconds(model, 30, 2) == context.FULL_S


@pytest.mark.parametrize("model", ["tiny", "tiny.en", "small", "someones-own"])
def test_a_model_that_was_not_measured_gets_the_whole_context(model: str) -> None:
    assert context.seconds(model, 3) == context.FULL_S
