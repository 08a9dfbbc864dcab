"""Links: what is signed is read back, and nothing else is."""

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Forbidden, LinkExpired
from gateway.wire import tickets
from gateway.wire.tickets import Ticket

from .sampling import SAMPLE

SECRET = b"a secret of the operator"
NAME = "someone_7400000000000000001.mp4"
TICKET = Ticket("7400000000000000001", "video:h264_540p_379100-0", "video/mp4", 1_800_000_000)


def linked(ticket: Ticket = TICKET, name: str = NAME, secret: bytes = SECRET) -> str:
    link = tickets.link(ticket, name, secret)
    assert link is not None
    return link


def read(link: str, *, secret: bytes = SECRET, now: float = 1_700_000_000) -> Ticket:
    root, token, name = link[1:].split("/")
    assert root == "media"
    return tickets.read(token, name, secret, now=now)


def test_a_link_is_a_path_of_url_safe_characters() -> None:
    assert re.fullmatch(rf"/media/[\w-]+\.[\w-]{{43}}/{re.escape(NAME)}", linked(), re.A)


@pytest.mark.soak
@SAMPLE
@given(
    post_id=st.text("0123456789", max_size=25), key=st.text(max_size=40), media_type=st.text(max_size=20),
    secret=st.binary(min_size=1, max_size=100),
)  # fmt: skip
def test_a_ticket_is_read_back(post_id: str, key: str, media_type: str, secret: bytes) -> None:
    ticket = Ticket(post_id, key, media_type, 1_800_000_000)
    assert read(linked(ticket, secret=secret), secret=secret) == ticket


def test_a_link_ends() -> None:
    assert read(linked(), now=TICKET.expires_at - 0.1) == TICKET
    for now in (TICKET.expires_at, TICKET.expires_at + 1, 10**12):
        with pytest.raises(LinkExpired):
            read(linked(), now=now)


@pytest.mark.soak
@SAMPLE
@given(at=st.integers(0, 200), put=st.text(max_size=3))
def test_any_other_link_is_refused(at: int, put: str) -> None:
    claim, name = linked()[len("/media/") :].split("/")
    at %= len(claim)
    forged = claim[:at] + put + claim[at + 1 :]
    if forged != claim:
        with pytest.raises(Forbidden):
            tickets.read(forged, name, SECRET, now=0)


def test_every_part_of_a_link_is_refused() -> None:
    token, name = linked()[len("/media/") :].split("/")
    for end in range(len(token)):
        with pytest.raises(Forbidden):
            tickets.read(token[:end], name, SECRET, now=0)
    for end in range(len(name)):
        with pytest.raises(Forbidden):
            tickets.read(token, name[:end], SECRET, now=0)


def test_the_name_is_signed_too() -> None:
    token, _ = linked()[len("/media/") :].split("/")
    with pytest.raises(Forbidden):
        tickets.read(token, "another.mp4", SECRET, now=0)


def test_another_secret_signs_other_links() -> None:
    with pytest.raises(Forbidden):
        read(linked(), secret=b"another secret, of as many letters")


def test_a_forged_ticket_is_not_told_whether_it_has_expired() -> None:
    with pytest.raises(Forbidden):
        read(linked(secret=b"x" * 16), now=10**12)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"[1,2,3,4]", b"\xff", b'["a","b","c","d"]'])
def test_what_is_signed_but_no_ticket_is_refused(data: bytes) -> None:
    claim = base64.urlsafe_b64encode(data).decode().rstrip("=")
    token = f"{claim}.{tickets._signature(claim, NAME, SECRET)}"
    with pytest.raises(Forbidden):
        tickets.read(token, NAME, SECRET, now=0)


@pytest.mark.parametrize("token", ["", ".", "..", "a.b.c", "é.ü", "\udcff.\udcff", "a" * 9000])
def test_anything_may_be_asked_for(token: str) -> None:
    with pytest.raises(Forbidden):
        tickets.read(token, NAME, SECRET, now=0)


def test_a_link_that_no_head_has_room_for_is_none() -> None:
    assert tickets.link(Ticket("7", "video:" + "x" * 2000, "video/mp4", 1), NAME, SECRET) is None
    longest = tickets.link(Ticket("9" * 32, "video:" + "x" * 150, "image/jpeg", 10**11), "a" * 100, SECRET)
    assert longest is not None
    assert len(longest) <= tickets.LINK_CHARS_MAX
