import pytest

from gateway.speech.working import patience_s


@pytest.mark.parametrize(
    ("expected_s", "elapsed_s", "load_s", "wanted"),
    [
        (4.6, 0.5, 0.4, 0.0),  # much is left: another worker is there sooner
        (4.6, 4.5, 0.4, 0.4),  # nearly done
        (4.6, 9.0, 0.4, 0.4),  # late, nobody knows by how much
        (2.0, 0.0, 8.0, 8.0),  # a large model
        (None, 0.0, 0.4, 0.0),  # nobody knows, but loading is quick
        (None, 0.0, 1.2, 1.2),
    ],
)
def test_a_worker_without_waiters_goes_on_only_while_that_is_cheaper(
    expected_s: float | None, elapsed_s: float, load_s: float, wanted: float
) -> None:
    assert patience_s(expected_s, elapsed_s, load_s) == wanted
