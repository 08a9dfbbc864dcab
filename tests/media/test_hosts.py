import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import UpstreamFailed
from gateway.media.hosts import SUFFIXES, Hosts, PublicResolver, public

HOSTS = Hosts(("media.example",))


@pytest.mark.parametrize(
    "url",
    ["https://v16-webapp.tiktok.com/a?b=c", "https://tiktokcdn.com/", "https://P16.TikTokCDN-us.com:443/x",
     "https://a.media.example/"],
)  # fmt: skip
def test_the_sites_names_may_be_dialled(url: str) -> None:
    assert HOSTS.check(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://v16.tiktok.com/", "https://eviltiktok.com/", "https://tiktok.com.evil.com/",
        "https://tiktok.com@evil.com/", "https://evil.com#@tiktok.com/", "https://evil.com/?tiktok.com",
        "https://tiktok.com:8443/", "https://tiktok.com:99999/", "https://127.0.0.1/", "https://[::1]/",
        "https://xmedia.example/", "https://tiktok.com./", "https://tiktok\u3002com/", "//tiktok.com/", "",
        "https://", "https://[", "file:///tiktok.com", "https://u:p@v16.tiktok.com/",
    ],
)  # fmt: skip
def test_other_places_may_not(url: str) -> None:
    with pytest.raises(UpstreamFailed):
        HOSTS.check(url)


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
    ],
)  # fmt: skip
def test_only_addresses_of_the_open_internet_are_public(address: str, is_public: bool) -> None:
    assert public(address) is is_public


async def test_a_name_that_leads_home_is_refused() -> None:
    resolver = PublicResolver()
    with pytest.raises(OSError):
        await resolver.resolve("localhost", 443)
    await resolver.close()
