"""What the site's ways of saying no are to a caller; the page itself is read in tests/web."""

from types import SimpleNamespace
from typing import Any

import pytest

from gateway.errors import GatewayError, SiteUnreached
from gateway.media import refusals
from gateway.media.tiktok import _header, environment


class ExtractorError(Exception):
    def __init__(self, words: str, cause: Any = None) -> None:
        self.orig_msg, self.cause = words, cause


def failed(words: str = "", cause: Any = None) -> Any:
    return SimpleNamespace(exc_info=(None, ExtractorError(words, cause), None))


def http(status: int) -> Any:
    error = type("HTTPError", (Exception,), {})()
    error.status = status
    return failed("Unable to download webpage", error)


def translated(error: Any, status: int, message: str) -> GatewayError:
    return refusals.translated(error, status, message, lambda what, words: None)


@pytest.mark.parametrize(
    ("status", "message", "code"),
    [
        (10216, "", "VIDEO_PRIVATE"), (10222, "user_private", "VIDEO_PRIVATE"),
        (10204, "item_check.status_self_see", "VIDEO_PRIVATE"),
        (10204, "", "VIDEO_UNAVAILABLE"), (10204, "item_check.status_deleted", "VIDEO_UNAVAILABLE"),
        (10204, "status_reviewing", "VIDEO_UNAVAILABLE"),
        (10204, "status_audit_not_pass", "VIDEO_UNAVAILABLE"),
        (10204, "filter_by_account_aom", "VIDEO_UNAVAILABLE"), (10217, "", "VIDEO_UNAVAILABLE"),
        (10221, "", "VIDEO_UNAVAILABLE"), (10202, "", "VIDEO_UNAVAILABLE"),
        (10204, "person_geo_fencing", "GEO_BLOCKED"), (10204, "x.cross_border_violation_y", "GEO_BLOCKED"),
        (10204, "copyright_geo_filter", "GEO_BLOCKED"), (10231, "", "GEO_BLOCKED"),
        (10204, "content_classification", "LOGIN_REQUIRED"), (10101, "", "EXTRACTION_FAILED"),
    ],
)  # fmt: skip
def test_a_status_of_the_page_has_its_code(status: int, message: str, code: str) -> None:
    assert translated(failed("whatever"), status, message).code == code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (failed("You do not have permission to view this post."), "VIDEO_PRIVATE"),
        (failed("This post may not be comfortable for some audiences. Log in for access"), "LOGIN_REQUIRED"),
        (failed("TikTok is requiring login for access to this content"), "LOGIN_REQUIRED"),
        (failed("Unable to extract universal data for rehydration"), "IP_BLOCKED"),
        (failed("Unexpected response from webpage request"), "IP_BLOCKED"),
        (failed("Unable to solve JS challenge"), "IP_BLOCKED"),
        (failed("Unable to extract challenge data"), "IP_BLOCKED"),
        (http(403), "IP_BLOCKED"), (http(407), "PROXY_ERROR"), (http(429), "UPSTREAM_RATE_LIMITED"),
        (http(404), "VIDEO_UNAVAILABLE"), (http(410), "VIDEO_UNAVAILABLE"), (http(500), "EXTRACTION_FAILED"),
        (http(418), "EXTRACTION_FAILED"), (failed("words never seen"), "EXTRACTION_FAILED"),
    ],
)  # fmt: skip
def test_a_failure_without_a_status_has_its_code(error: Any, code: str) -> None:
    assert translated(error, 0, "").code == code


def test_a_site_in_trouble_is_not_one_that_changed() -> None:
    assert isinstance(translated(http(503), 0, ""), SiteUnreached)
    assert not isinstance(translated(http(418), 0, ""), SiteUnreached)


def test_only_words_that_are_not_known_are_noted() -> None:
    notes: list[tuple[str, str]] = []
    for error in (failed("words never seen"), failed("Log in for access"), http(403)):
        refusals.translated(error, 0, "", lambda what, words: notes.append((what, words)))
    assert notes == [("extraction failed in words not known", "words never seen")]


def test_age_is_told_from_a_login() -> None:
    told = [
        translated(failed("Log in for access"), 0, ""),
        translated(failed(), 10204, "content_classification"),
        translated(failed("requiring login"), 0, ""),
    ]
    assert [one.code for one in told] == ["LOGIN_REQUIRED"] * 3
    assert ["age-restricted" in one.message for one in told] == [True, True, False]


def test_no_proxy_of_the_environment_reaches_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTPS_PROXY", "All_Proxy", "no_proxy", "GATEWAY_PROXY_URL"):
        monkeypatch.setenv(name, "http://user:hidden@host:1")
    assert "hidden" not in str(environment(("a", "b"), None, None))


def test_media_get_the_pages_cookies_and_of_a_login_what_the_link_names() -> None:
    made = [
        SimpleNamespace(name=name, value=name[0] + "==") for name in ("ttwid", "sessionid", "tt_chain_token")
    ]
    jar = SimpleNamespace(get_cookies_for_url=lambda url: made)
    link = "https://v16.tiktok.com/video/?tk=tt_chain_token"
    login = {("sessionid", "s=="), ("tt_chain_token", "t==")}
    assert _header(jar, link, set()) == "ttwid=t==; sessionid=s==; tt_chain_token=t=="
    assert _header(jar, link, login) == "ttwid=t==; tt_chain_token=t=="
    assert _header(jar, "https://v16.tiktok.com/", login) == "ttwid=t=="
