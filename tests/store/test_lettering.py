import re

import pytest

from gateway.store import lettering


def test_a_code_is_readable_and_not_to_be_guessed() -> None:
    made = {lettering.new() for _ in range(2000)}
    assert len(made) == 2000
    assert all(re.fullmatch(r"([2-9A-HJ-NP-Z]{5}-){4}[2-9A-HJ-NP-Z]{5}", one) for one in made)
    assert set("".join(made)) - {"-"} == set(lettering.LETTERS)


def test_it_is_known_however_it_is_typed() -> None:
    code = lettering.new()
    kept = lettering.hashed(code)
    assert kept is not None
    assert len(kept) == 64
    for typed in (code.lower(), code.replace("-", ""), code.replace("-", " "), f"\t {code}\r\n"):
        assert lettering.hashed(typed) == kept
    assert lettering.hashed(lettering.new()) != kept


@pytest.mark.parametrize(
    "typed", ["", "-", "A" * 24, "A" * 26, "O" * 25, "l" * 25 + "x", "0" * 25, "你" * 25]
)
def test_what_cannot_be_a_code_has_no_hash(typed: str) -> None:
    assert lettering.hashed(typed) is None


def test_what_is_endless_is_not_read_to_its_end() -> None:
    assert lettering.hashed(" " * 10_000_000 + lettering.new()) is None
