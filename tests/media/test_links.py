import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidUrl
from gateway.media import links

ID = "7400000000000000001"
POST = links.Address(f"https://www.tiktok.com/@_/video/{ID}", ID)


@pytest.mark.parametrize(
    "url",
    [
        f"https://www.tiktok.com/@some.user_1/video/{ID}",
        f"https://www.tiktok.com/@some.user_1/video/{ID}?is_from_webapp=1&sender_device=pc#x",
        f"https://www.tiktok.com/@/video/{ID}/",
        f"https://www.tiktok.com/@%D0%B8/video/{ID}",
        f"https://www.tiktok.com/@u/photo/{ID}",
        f"https://www.tiktok.com/share/video/{ID}/",
        f"https://www.tiktok.com/embed/{ID}",
        f"https://www.tiktok.com/embed/v2/{ID}?lang=en",
        f"https://www.tiktok.com/player/v1/{ID}",
        f"https://www.tiktokv.com/share/video/{ID}/",
        f"https://m.tiktok.com/v/{ID}.html",
        f"https://m.tiktok.com/@u/video/{ID}",
        f"http://tiktok.com/@u/video/{ID}",
        f"HTTPS://WWW.TikTok.com:443/@u/video/{ID}",
        f"www.tiktok.com/@u/video/{ID}",
        f"tiktok.com/@u/video/{ID}",
        f"  https://www.tiktok.com/@u/video/{ID}\n",
        f"Check out this clip! https://www.tiktok.com/@u/video/{ID}. It is good",
        f"(https://www.tiktok.com/@u/video/{ID})",
        f"первый https://example.com/ второй https://www.tiktok.com/@u/video/{ID}、三",
    ],
)
def test_every_family_of_post_addresses_is_found(url: str) -> None:
    assert links.find(url) == POST


@pytest.mark.parametrize(
    ("url", "dialled"),
    [
        ("https://vm.tiktok.com/ZMabc123/", "https://vm.tiktok.com/ZMabc123/"),
        ("https://vt.tiktok.com/ZSabc-_3?x=1", "https://vt.tiktok.com/ZSabc-_3/"),
        ("https://www.tiktok.com/t/ZTabc123/", "https://www.tiktok.com/t/ZTabc123/"),
        ("vm.tiktok.com/ZMabc123", "https://vm.tiktok.com/ZMabc123/"),
        ("Look: http://vm.tiktok.com/ZMabc123/ !", "https://vm.tiktok.com/ZMabc123/"),
    ],
)
def test_short_links_are_to_be_unfolded(url: str, dialled: str) -> None:
    assert links.find(url) == links.Address(dialled, None)


@pytest.mark.parametrize(
    "url",
    [
        "", " ", "hello", "https://", "http://[", "https://example.com/",
        f"https://eviltiktok.com/@u/video/{ID}",
        f"https://tiktok.com.evil.com/@u/video/{ID}",
        f"https://www.tiktok.com.evil.com/@u/video/{ID}",
        f"https://www.tiktok.com@evil.com/@u/video/{ID}",
        f"https://user:pass@www.tiktok.com/@u/video/{ID}",
        f"https://evil.com\\@www.tiktok.com/@u/video/{ID}",
        f"https://www.tiktok.com:8443/@u/video/{ID}",
        f"https://www.tiktok.com:x/@u/video/{ID}",
        f"https://127.0.0.1/@u/video/{ID}",
        f"https://[::1]/@u/video/{ID}",
        f"https://2130706433/@u/video/{ID}",
        f"https://ｗｗｗ.tiktok.com/@u/video/{ID}",
        f"https://www.tikt\u043ek.com/@u/video/{ID}",
        f"https://www.tiktok.com\u3002evil.com/@u/video/{ID}",
        f"https://www.tiktok\u2024com/@u/video/{ID}",
        f"ftp://www.tiktok.com/@u/video/{ID}",
        f"file:///www.tiktok.com/@u/video/{ID}",
        f"javascript:www.tiktok.com/@u/video/{ID}",
        f"https://x.www.tiktok.com/@u/video/{ID}",
        "https://www.tiktok.com/@u", "https://www.tiktok.com/@u/live",
        "https://www.tiktok.com/@u/video/", "https://www.tiktok.com/@u/video/12",
        f"https://www.tiktok.com/@u/video/{'1' * 40}",
        "https://vm.tiktok.com/", "https://vm.tiktok.com/a/../../b",
    ],
)  # fmt: skip
def test_what_is_not_a_post_is_refused(url: str) -> None:
    with pytest.raises(InvalidUrl):
        links.find(url)


@given(st.text(max_size=300))
def test_any_text_is_answered_or_refused(text: str) -> None:
    try:
        links.find(text)
    except InvalidUrl:
        return


@given(
    st.text(alphabet="htps:/w.tikok@com\\#?%[]0123456789vm\u3002\uff0e", max_size=80),
    st.sampled_from(["", f"/@u/video/{ID}", "/ZMabc123/"]),
)
def test_only_our_hosts_are_ever_dialled(start: str, end: str) -> None:
    try:
        found = links.find(start + end)
    except InvalidUrl:
        return
    hosts = ("https://www.tiktok.com/", "https://vm.tiktok.com/", "https://vt.tiktok.com/")
    assert found.url.startswith(hosts)
