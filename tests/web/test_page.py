"""The page as it is served: to whom, with which headers, and no more than there is. `tests/page/` uses it."""

import io
import json
import re
import subprocess
import sys
import zipfile
from html.parser import HTMLParser
from pathlib import Path

import pytest
from yarl import URL

from gateway.speech.languages import CODES
from gateway.web.files import ASKED_ANEW
from tests.web.callers import ADMIN
from tests.web.conftest import Front, Start

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "gateway" / "web" / "page"
NAMES = sorted(path.name for path in FOLDER.iterdir())
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"
# what makes markup or code of text
MAKERS = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|setHTML|document\.write|\beval\(|new Function|DOMParser|srcdoc"
)


async def test_the_page_and_all_of_its_files_are_told_to_anybody(start: Start) -> None:
    front = await start(admin_key=ADMIN)
    for path, name in [("/ui", "index.html"), *((f"/ui/{name}", name) for name in NAMES)]:
        async with front.session.get(front.url + path) as response:
            assert response.status == 200, path
            assert response.content_type == TYPES[Path(name).suffix]
            assert await response.read() == (FOLDER / name).read_bytes()


@pytest.mark.parametrize("path", ["/ui", "/ui/page.js", "/ui/clipwire.js"])
async def test_a_file_is_told_once_and_then_known(front: Front, path: str) -> None:
    async with front.session.get(front.url + path) as response:
        etag = response.headers["ETag"]
        assert response.headers["Cache-Control"] == ASKED_ANEW
    for known in (etag, f'"other", W/{etag}', "*"):
        async with front.session.get(front.url + path, headers={"If-None-Match": known}) as response:
            assert (response.status, await response.read(), response.headers["ETag"]) == (304, b"", etag)
    async with front.session.get(front.url + path, headers={"If-None-Match": '"x"'}) as response:
        assert response.status == 200


@pytest.mark.parametrize("path", ["/ui", "/ui/page.css"])
async def test_its_head_is_told(front: Front, path: str) -> None:
    async with front.session.get(front.url + path) as response:
        whole = response.headers
    async with front.session.head(front.url + path) as response:
        assert (response.status, await response.read()) == (200, b"")
        for name in ("Content-Type", "Content-Length", "ETag", "Content-Security-Policy"):
            assert response.headers[name] == whole[name]


@pytest.mark.parametrize(
    "name",
    [
        "nothing.js", "..%2Fpage.py", "..%2f..%2ferrors.py", "%2e%2e%2fmanual.py", "%2Fetc%2Fpasswd",
        "page.js%00", "PAGE.JS", "page.js.map", "page", ".", "%2e%2e", "clipwire.d.ts", "__init__.py",
        "..%5Cpage.py",
    ],
)  # fmt: skip
async def test_only_the_files_of_the_page_are_told(front: Front, name: str) -> None:
    reader, writer = await front.connect()  # as it is written: a library would tidy it
    writer.write(f"GET /ui/{name} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    assert head.split()[1] in (b"404", b"400")
    assert json.loads(body)["error"]["code"] in ("NOT_FOUND", "VALIDATION_ERROR")


async def test_with_a_slash_it_is_found_too_below_any_path(front: Front) -> None:
    async with front.session.get(f"{front.url}/ui/", allow_redirects=False) as response:
        assert response.status == 308
        for mounted in ("", "/below/here"):
            at = URL(front.url) / mounted.lstrip("/") / "ui/"
            assert at.join(URL(response.headers["Location"])).path == f"{mounted}/ui"
    async with front.session.get(f"{front.url}/ui/") as response:
        assert await response.read() == (FOLDER / "index.html").read_bytes()


# The first page


async def test_browsers_get_the_page_at_the_root_and_all_others_what_they_got(front: Front) -> None:
    async with front.session.get(front.url, headers={"Accept": BROWSER}) as response:
        assert (response.status, response.content_type) == (200, "text/html")
        assert response.headers["Vary"] == "Accept"
        assert await response.read() == (FOLDER / "index.html").read_bytes()
        etag = response.headers["ETag"]
    async with front.session.get(front.url, headers={"Accept": BROWSER, "If-None-Match": etag}) as response:
        assert (response.status, response.headers["Vary"]) == (304, "Accept")
    for accept in ("*/*", "application/json", "application/json, text/plain, */*", "text/html;q=0, */*", ""):
        async with front.session.get(front.url, headers={"Accept": accept}) as response:
            assert (await response.json())["message"] == "clipwire is running", accept
            assert response.headers["Vary"] == "Accept"


# What it may do


@pytest.mark.parametrize("path", ["/ui", "/", "/ui/page.js", "/ui/icon.svg"])
async def test_the_page_may_run_nothing_but_ours_and_be_in_no_frame(front: Front, path: str) -> None:
    async with front.session.get(front.url + path, headers={"Accept": BROWSER}) as response:
        headers = response.headers
    told = (one.strip().partition(" ") for one in headers["Content-Security-Policy"].split(";"))
    assert {name: value for name, _, value in told} == {
        "default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "img-src": "'self' blob:",
        "media-src": "'self' blob:", "connect-src": "'self'", "base-uri": "'none'", "form-action": "'none'",
        "frame-ancestors": "'none'",
    }  # fmt: skip
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Opener-Policy"] == headers["Cross-Origin-Resource-Policy"] == "same-origin"


class Tags(HTMLParser):
    """What a page names, and what it would run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.named: list[str] = []
        self.inline: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        for name, value in attrs:
            if name in ("src", "href", "action", "poster"):
                self.named.append(value or "")
            if name == "style" or name.startswith("on"):
                self.inline.append(f"{tag} {name}")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside in ("script", "style") and data.strip():
            self.inline.append(self._inside)


def test_the_page_has_nothing_inline_and_names_only_what_is_beside_it() -> None:
    tags = Tags((FOLDER / "index.html").read_text("utf-8"))
    assert tags.inline == []
    assert {one.removeprefix("ui/") for one in tags.named if one.startswith("ui/")} <= {*NAMES}
    assert [one for one in tags.named if not one.startswith("ui/")] == ["docs"]


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith(".js")])
def test_no_module_makes_markup_of_text(name: str) -> None:
    assert not MAKERS.search((FOLDER / name).read_text("utf-8"))


def test_every_module_is_there_and_is_used() -> None:
    imported = {
        name
        for path in FOLDER.glob("*.js")
        for name in re.findall(r'from "\./([\w.]+)"', path.read_text("utf-8"))
    }
    assert imported | {"page.js"} == {name for name in NAMES if name.endswith(".js")}


def test_its_languages_are_those_that_are_recognised() -> None:
    text = (FOLDER / "language.js").read_text("utf-8")
    told = re.search(r"const CODES = \((.*?)\)\.split", text, re.S)
    assert told is not None
    assert {code for line in re.findall(r'"([^"]*)"', told[1]) for code in line.split()} == CODES


# Where it comes from


def test_its_client_is_the_one_that_others_have() -> None:
    assert (FOLDER / "clipwire.js").read_bytes() == (ROOT / "clients" / "js" / "clipwire.js").read_bytes()
    assert (FOLDER / "clipwire.js").is_symlink()  # and no copy that would grow old


def test_a_wheel_has_all_of_it(tmp_path: Path) -> None:
    build = (sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path))
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(io.BytesIO(wheel.read_bytes())) as file:
        for name in NAMES:
            assert file.read(f"gateway/web/page/{name}") == (FOLDER / name).read_bytes()
