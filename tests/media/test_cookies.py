from hypothesis import given
from hypothesis import strategies as st

from gateway.media.cookies import Cookie, parse
from gateway.media.hosts import Hosts

HOSTS = Hosts()


def ours(name: str) -> bool:
    return HOSTS.ours(f"https://{name}/")


def line(*fields: str) -> str:
    return "\t".join(fields)


def test_a_file_as_browsers_write_it() -> None:
    text = "\n".join(
        [
            "# Netscape HTTP Cookie File", "", "# a word",
            "#HttpOnly_" + line(".tiktok.com", "TRUE", "/", "TRUE", "1893456000", "sessionid", "a=b=="),
            line("www.tiktok.com", "FALSE", "/x", "FALSE", "0", "lang", ""),
            line("tiktok.com", "TRUE", "/", "FALSE", "1893456000.5", "broad", '"v"'),
            line(".tiktok.com", "TRUE", "/", "TRUE", "", "session", "s"),
        ]
    )  # fmt: skip
    assert parse(text, ours) == (
        Cookie(".tiktok.com", "/", True, 1893456000, "sessionid", "a=b=="),
        Cookie("www.tiktok.com", "/x", False, None, "lang", ""),
        Cookie(".tiktok.com", "/", False, 1893456000, "broad", '"v"'),
        Cookie(".tiktok.com", "/", True, None, "session", "s"),
    )
    assert parse(text.replace("\n", "\r\n"), ours) == parse(text, ours)


def test_cookies_of_others_and_lines_that_are_none_are_passed_over() -> None:
    for text in (
        line(".example.com", "TRUE", "/", "TRUE", "0", "sessionid", "x"),
        line(".eviltiktok.com", "TRUE", "/", "TRUE", "0", "sessionid", "x"),
        line(".tiktok.com.evil.com", "TRUE", "/", "TRUE", "0", "sessionid", "x"),
        line(".com", "TRUE", "/", "TRUE", "0", "sessionid", "x"),
        line("", "TRUE", "/", "TRUE", "0", "sessionid", "x"),
        line(".tiktok.com", "TRUE", "/", "TRUE", "soon", "sessionid", "x"),
        line(".tiktok.com", "TRUE", "/", "TRUE", "0", "", "x"),
        line(".tiktok.com", "TRUE", "/", "TRUE", "0", "sessionid"),
        '[{"domain": ".tiktok.com"}]',
    ):
        assert parse(text, ours) == (), text


def test_a_cookie_does_not_print_its_value() -> None:
    (cookie,) = parse(line(".tiktok.com", "TRUE", "/", "TRUE", "0", "sessionid", "hidden"), ours)
    assert "hidden" not in repr(cookie)


@given(st.text())
def test_any_text_is_read_without_a_failure(text: str) -> None:
    parse(text, ours)
    parse(line(".tiktok.com", "TRUE", text, "TRUE", text, text, text), ours)
