import ipaddress
import re
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from gateway.errors import UpstreamFailed
from gateway.media.hosts import SUFFIXES, Hosts, addresses, public
from gateway.media.resolver import PublicResolver

HOSTS = Hosts(("media.example",))


@pytest.mark.parametrize(
    "url",
    ["https://v16-webapp.tiktok.com/a?b=c", "https://tiktokcdn.com/", "https://P16.TikTokCDN-us.com:443/x",
     "https://a.media.example/"],
)  # fmt: skip
def test_the_sites_names_may_be_dialled(url: str) -> None:
    assert HOSTS.check(url) == url


# ways in which a URL may look as if it led to the site
TRICKS = (
    "http://v16.tiktok.com/", "https://eviltiktok.com/", "https://tiktok.com.evil.com/",
    "https://tiktok.com@evil.com/", "https://evil.com#@tiktok.com/", "https://evil.com/?tiktok.com",
    "https://tiktok.com:8443/", "https://tiktok.com:99999/", "https://127.0.0.1/", "https://[::1]/",
    "https://xmedia.example/", "https://tiktok.com./", "//tiktok.com/", "", "https://", "https://[",
    "file:///tiktok.com", "https://u:p@v16.tiktok.com/", "https://@tiktok.com/", "https://:@tiktok.com/",
    # what parsers read differently
    "https://evil.com\\.tiktok.com/", "https://evil.com\\@tiktok.com/", "https://tiktok.com\\@evil.com/",
    "https://evil.com%2f.tiktok.com/", "https://evil.com%23.tiktok.com/", "https://evil.com%00.tiktok.com/",
    "https://evil.com%40tiktok.com/", "https://evil%2ecom/", "https://tiktok%2ecom/",
    "https://evil.com;.tiktok.com/", "https://evil.com,.tiktok.com/", "https://evil.com&.tiktok.com/",
    "https://evil.com'.tiktok.com/", "https://evil.com$.tiktok.com/", "https://*.tiktok.com/",
    "https://[::1].tiktok.com/", "https://[tiktok.com]/", "https://[::ffff:127.0.0.1]/",
    "https://tiktok.com:443@evil.com/", "https://tiktok.com:443:443/", "https://tiktok.com:/",
    "https://tiktok.com:0443/", "https://tiktok.com:+443/", "https://tiktok.com:\u0664\u0664\u0663/",
    "https://.tiktok.com/", "https://..tiktok.com/", "https://a..tiktok.com/", "https://.tiktok.com./",
    "https:///tiktok.com/", "https:tiktok.com/", "https:/tiktok.com/", "https:\\\\tiktok.com/",
    "https://https://tiktok.com/", "hhttps://tiktok.com/", "https ://tiktok.com/", "ftp://tiktok.com/",
    "gopher://tiktok.com/", "javascript://tiktok.com/%0aalert(1)", "data:tiktok.com", "ws://tiktok.com/",
    # characters that are dropped, folded or invisible
    " https://tiktok.com/", "https://tiktok.com/ x", "https://tiktok.com/\tx", "https://tik\ntok.com/",
    "https://tiktok.com\r\nHost: evil.com/", "https://tiktok.com\x00.evil.com/", "https://evil.com\x00tiktok.com/",
    "https://tiktok\u3002com/", "https://evil.com\uff0ftiktok.com/", "https://evil.com\u2024tiktok.com/",
    "https://evil.com\uff03.tiktok.com/", "https://\uff54iktok.com/", "https://t\u0131ktok.com/",
    "https://tiktok.com\u202e/", "https://tik\u00adtok.com/", "https://tik\u200btok.com/", "https://\u212aiktok.com/",
    # addresses in every dress
    "https://127.1/", "https://2130706433/", "https://0x7f000001/", "https://0x7f.1/", "https://0177.0.0.1/",
    "https://0/", "https://localhost/", "https://169.254.169.254/", "https://metadata.google.internal/",
    "https://[fe80::1%25eth0]/", "https://[::]/", "https://tiktok.com.127.0.0.1.nip.io/",
)  # fmt: skip


@pytest.mark.parametrize("url", TRICKS)
def test_other_places_may_not(url: str) -> None:
    with pytest.raises(UpstreamFailed):
        HOSTS.check(url)


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1/", "https://x.127.0.0.1/", "https://a.0x7f/", "https://10.0.0.1:443/"]
)
def test_addresses_are_no_names_even_if_they_are_set(url: str) -> None:
    with pytest.raises(UpstreamFailed):
        Hosts(("127.0.0.1", "0x7f", "10.0.0.1")).check(url)


WRAPPED = st.tuples(
    st.text("tiktok.com:/@\\#?%[]0 \t\nevil\uff0f", max_size=12),
    st.sampled_from(("tiktok.com", "evil.com", "127.0.0.1", "tiktokcdn.com")),
    st.text("tiktok.com:/@\\#?%[]0 \t\nevil\uff0f", max_size=12),
)


@settings(max_examples=2000, deadline=None)
@given(st.sampled_from(("https://", "https:/", "https:", "http://", "//", "")), st.lists(WRAPPED, max_size=3))
def test_what_is_ours_is_ours_to_every_parser(scheme: str, pieces: list[tuple[str, str, str]]) -> None:
    """aiohttp's, the standard library's and a browser's reading of a URL that passed agree on its host."""
    url = scheme + "".join("".join(piece) for piece in pieces)
    if not HOSTS.ours(url):
        return
    host = urlsplit(url).hostname
    assert host is not None
    assert URL(url, encoded=True).host == host
    # a browser takes backslashes for slashes, drops tabs and line ends, and ends the host at any of /?#
    browsers = re.split(r"[/?#]", re.sub(r"[\t\r\n]", "", url).replace("\\", "/")[len("https://") :])[0]
    assert browsers.lower().removesuffix(":443") == host
    assert any(("." + host).endswith("." + suffix) for suffix in (*SUFFIXES, "media.example"))


@given(st.from_regex(r"\A[a-z0-9-]{1,20}(\.[a-z0-9-]{1,20}){0,3}\Z"), st.sampled_from(SUFFIXES))
def test_every_name_below_a_suffix_is_ours(name: str, suffix: str) -> None:
    assert HOSTS.ours(f"https://{name}.{suffix}/path?query#fragment")
    assert HOSTS.ours(f"https://{name}.{suffix.upper()}:443")
    assert not HOSTS.ours(f"https://{name}{suffix}/") or name.endswith(".")
    assert not HOSTS.ours(f"https://{suffix}.{name}x/")


@given(st.text(min_size=1, max_size=40), st.sampled_from(SUFFIXES))
def test_a_name_that_only_ends_alike_is_not_ours(start: str, suffix: str) -> None:
    try:
        HOSTS.check(f"https://{start}{suffix}/")
    except UpstreamFailed:
        return
    assert start.endswith(".")


@pytest.mark.parametrize(
    ("address", "is_public"),
    [
        ("93.184.216.34", True), ("2606:2800:220:1::1", True),
        ("127.0.0.1", False), ("10.1.2.3", False), ("172.16.0.1", False), ("192.168.1.1", False),
        ("169.254.169.254", False), ("100.64.0.1", False), ("0.0.0.0", False), ("255.255.255.255", False),
        ("224.0.0.1", False), ("::1", False), ("::", False), ("fe80::1%eth0", False), ("fc00::1", False),
        ("::ffff:10.0.0.1", False), ("::ffff:93.184.216.34", True), ("64:ff9b::7f00:1", False),
        ("64:ff9b::5db8:d822", True), ("2002:7f00:1::", False), ("ff02::1", False),
        # wrapped, tunnelled, left over or set aside
        ("::7f00:1", False), ("::127.0.0.1", False), ("::ffff:0:10.0.0.1", False), ("64:ff9b:1::1", False),
        ("64:ff9b::a00:1", False), ("64:ff9b::a9fe:a9fe", False), ("64:ff9b::6440:1", False),
        ("::ffff:169.254.169.254", False), ("::ffff:100.64.0.1", False), ("fec0::1", False),
        ("2002:a9fe:a9fe::1", False), ("2001:0:4136:e378:8000:63bf:3fff:fdd2", False), ("100::1", False),
        ("2001:db8::1", False), ("3fff::1", False), ("5f00::1", False), ("4000::1", False),
        ("fd00::1", False),
        ("192.0.0.8", False), ("192.0.2.1", False), ("192.88.99.1", False), ("198.18.0.1", False),
        ("198.51.100.1", False), ("203.0.113.1", False), ("240.0.0.1", False), ("0.1.2.3", False),
        ("100.127.255.255", False), ("172.31.255.255", False), ("2a00:1450:4001::1", True), ("8.8.8.8", True),
        ("100.128.0.1", True), ("172.32.0.1", True),
    ],
)  # fmt: skip
def test_only_addresses_of_the_open_internet_are_public(address: str, is_public: bool) -> None:
    assert public(address) is is_public


async def test_a_name_that_leads_home_is_refused() -> None:
    resolver = PublicResolver()
    with pytest.raises(OSError):
        await resolver.resolve("localhost", 443)
    await resolver.close()


@given(st.ip_addresses(v=4))
def test_an_address_in_another_dress_is_judged_as_itself(address: ipaddress.IPv4Address) -> None:
    bare = public(str(address))
    assert public(f"::ffff:{address}") is bare
    assert public(f"64:ff9b::{address}") is bare
    assert bare is False or address.is_global


def test_of_a_names_addresses_only_public_ones_are_dialled(monkeypatch: pytest.MonkeyPatch) -> None:
    found = ["10.0.0.1", "93.184.216.34", "::1", "2606:2800:220:1::1", "93.184.216.34"]

    def lookup(*_: Any, **__: Any) -> list[Any]:
        return [(0, 0, 0, "", (address, 443)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    assert addresses("www.tiktok.com") == ["93.184.216.34", "2606:2800:220:1::1"]
    del found[1:2], found[2:]
    with pytest.raises(PermissionError):
        addresses("www.tiktok.com")
