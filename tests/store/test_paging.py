from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadRequest
from gateway.store import paging
from gateway.store.paging import Place
from tests.wire.sampling import SAMPLE

PLACES = st.builds(
    Place,
    at=st.datetimes(timezones=st.just(UTC)),
    id=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    number=st.integers(0, (1 << 31) - 1),
)


@pytest.mark.soak
@SAMPLE
@given(PLACES)
def test_a_token_leads_back_to_its_place(place: Place) -> None:
    assert paging.place(paging.token(place)) == place


@pytest.mark.parametrize(
    "told",
    ["", "x", "!!!!", "e30", "WzFd", "é", paging.token(Place(datetime(2026, 1, 1, tzinfo=UTC), "a", -1))],
)
def test_what_is_no_token_is_refused(told: str) -> None:
    with pytest.raises(BadRequest):
        paging.place(told)


@pytest.mark.soak
@SAMPLE
@given(st.text())
def test_any_text_is_a_place_or_refused(told: str) -> None:
    try:
        paging.place(told)
    except BadRequest:
        pass


def test_pages_are_bounded() -> None:
    assert [paging.limited(limit) for limit in (-1, 0, 1, 50, 10**9)] == [1, 1, 1, 50, paging.PAGE_MAX]
