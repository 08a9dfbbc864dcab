"""What other processes wrote: a value, or one kind of failure."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.transcripts.asking import Ask
from gateway.wire.foreign import decoded

DEEP = b'{"what":"follow","id":"a","x":' + b"[" * 200_000
asks = msgspec.json.Decoder(Ask)


def test_a_value_is_read() -> None:
    assert decoded(asks, b'{"what":"follow","id":"a","of a later version":1}') == Ask("follow", "a")


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b'{"what":"follow","id":"\xff"}', b'{"what":"x","id":"a"}', b"[]", DEEP]
)
def test_what_is_none_is_one_failure(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decoded(asks, data)


@given(data=st.binary() | st.binary().map(lambda some: b'{"what":"follow","id":"' + some + b'"}'))
def test_any_bytes_are_a_value_or_that_failure(data: bytes) -> None:
    try:
        assert isinstance(decoded(asks, data), Ask)
    except msgspec.DecodeError:
        pass
