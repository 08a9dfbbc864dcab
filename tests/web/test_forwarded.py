"""Who is behind proxies: every header that can be written, and what may be believed of it."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.web.forwarded import HOPS_MAX, bucket, client

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
PROXY = "10.0.0.1"

addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))
strangers = addresses.filter(lambda one: not trusted(one))
proxies = st.one_of(st.ip_addresses(v=4, network="10.0.0.0/8"), st.ip_addresses(v=6, network="fd00::/8"))
ports = st.integers(0, 65535)


def plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def trusted(address: IPv4Address | IPv6Address) -> bool:
    return any(plain(address) in network for network in TRUSTED)


@st.composite
def hop(draw: st.DrawFn, of: st.SearchStrategy[IPv4Address | IPv6Address]) -> tuple[str, str]:
    """An address as some proxy writes it, and as we read it."""
    address = draw(of)
    told, port = str(address), draw(ports)
    forms = (
        [f"[{told}]", f"[{told}]:{port}", f'"[{told}]"', told] if ":" in told else [told, f"{told}:{port}"]
    )
    space = draw(st.sampled_from(["", " ", "\t "]))
    return f"{space}{draw(st.sampled_from(forms))}{space}", str(plain(address))


@given(st.text(max_size=60), hop(strangers), st.lists(hop(proxies), max_size=4), st.data())
def test_what_a_client_writes_itself_changes_nothing(
    forged: str, real: tuple[str, str], between: list[tuple[str, str]], data: st.DataObject
) -> None:
    hops = [forged, real[0], *(one[0] for one in between)]
    cut = data.draw(st.integers(0, len(hops)))  # a header may come in several lines
    lines = [",".join(part) for part in (hops[:cut], hops[cut:]) if part]
    assert client(PROXY, lines, TRUSTED) == real[1]


@given(strangers, st.lists(st.text(max_size=40), max_size=4))
def test_who_is_not_trusted_is_not_asked(peer: IPv4Address | IPv6Address, told: list[str]) -> None:
    assert client(str(peer), told, TRUSTED) == str(peer)
    assert client(PROXY, told, ()) == PROXY


@given(st.lists(st.text(max_size=200), max_size=5))
def test_any_header_at_all_gives_an_address(told: list[str]) -> None:
    ip_address(client(PROXY, told, TRUSTED))


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ([], PROXY),
        ([""], PROXY),
        (["unknown"], PROXY),
        (["203.0.113.7"], "203.0.113.7"),
        (["6.6.6.6, 203.0.113.7, 10.2.3.4"], "203.0.113.7"),
        (["6.6.6.6", "203.0.113.7", "10.2.3.4"], "203.0.113.7"),
        (["203.0.113.7, _hidden, 10.2.3.4"], "10.2.3.4"),
        (["::ffff:203.0.113.7"], "203.0.113.7"),
        (["10.9.9.9, 10.2.3.4"], "10.9.9.9"),
        ([", ".join(["203.0.113.7"] + ["10.2.3.4"] * HOPS_MAX)], "10.2.3.4"),
    ],
)  # fmt: skip
def test_the_rightmost_address_that_is_not_trusted_counts(told: list[str], expected: str) -> None:
    assert client(PROXY, told, TRUSTED) == expected


def test_one_customers_addresses_are_one_caller() -> None:
    assert bucket("2001:db8:1:2:3::4") == bucket("2001:db8:1:2:ffff::1") != bucket("2001:db8:1:3::4")
    assert bucket("203.0.113.7") != bucket("203.0.113.8")
    assert bucket("::ffff:203.0.113.7") == bucket("203.0.113.7")
    assert bucket("") == ""
