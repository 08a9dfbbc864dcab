"""`download`: what posts are made of, as files."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from tests.clients.stand_in import B, Handler, cut, gateway, headers, parts
from tests.commands.running import before, begun, ended, left, on_terminal, processes, run, screen
from tests.origin.origin import Origin
from tests.web.conftest import Front, Start, front, start, until

__all__ = ["front", "start"]  # fixtures
ADDRESS = "https://www.tiktok.com/@someone/video/7400000000000000001"
VIDEO = "clipwire.demo_7400000000000000001.mp4"


@pytest.fixture
async def origin(tmp_path: Path) -> AsyncIterator[Origin]:
    async with Origin(tmp_path / "origin") as origin:
        yield origin


def head(name: str, length: int) -> bytes:
    lines = f"--{B}\r\nContent-Type: video/mp4\r\nContent-Length: {length}\r\n"
    return f'{lines}Content-Disposition: attachment; filename="{name}"\r\n\r\n'.encode()


def post(*named: tuple[str, bytes], title: str = "title") -> Handler:
    """A post with these parts."""
    body = b"\r\n".join(head(name, len(data)) + data for name, data in named)
    return parts(body + f"\r\n--{B}--\r\n".encode(), meta=(title, ""))


def refusal(status: int, code: str, **headers: str) -> web.Response:
    return web.json_response({"detail": "Not now.", "code": code}, status=status, headers=headers)


async def test_the_parts_of_posts_are_saved_and_one_that_fails_stops_no_other(
    front: Front, tmp_path: Path
) -> None:
    origin, files = front.origin, tmp_path / "files"
    code, out, error = await run(
        tmp_path, "download", origin.url("private"), f"Look! {origin.url('video')} (wow)", "-",
        "-o", "files", "--server", front.url, stdin=f"\n{origin.url('photo3')}\n".encode(),
    )  # fmt: skip
    assert code == 1
    photos = [f"clipwire.demo_7400000000000000010{end}" for end in ("_01.jpg", "_02.jpg", "_03.jpg", ".mp3")]
    assert out.splitlines() == [f"files/{name}" for name in (VIDEO, *photos)]
    assert (files / VIDEO).read_bytes() == origin.body("video")
    assert [(files / name).read_bytes() for name in photos] == origin.parts("photo3")
    assert len(list(files.iterdir())) == 5
    assert error.splitlines() == [
        f"{origin.url('private')}: The post or its account is private. (VIDEO_PRIVATE)",
        "1 of 3 failed.",
    ]


async def test_choices_reach_the_gateway(tmp_path: Path) -> None:
    asked: list[object] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(await request.json())
        return await post(("a.m4a", b"x"))(request)

    async with gateway(answer) as url:
        code, _, error = await run(
            tmp_path, "download", ADDRESS, "--mode", "audio_only", "--quality", "720p", "--codec", "h265",
            "--thumbnail", CLIPWIRE_SERVER=url,
        )  # fmt: skip
    assert (code, error) == (0, "")
    choice = {"quality": "720p", "codec": "h265", "thumbnail": True}
    assert asked == [{"url": ADDRESS, "download_content_type": "AUDIO_ONLY"} | choice]


async def test_everything_in_one_process_leaves_nothing_behind(origin: Origin, tmp_path: Path) -> None:
    code, out, error = await run(tmp_path, "download", origin.url("video"), **before(origin, tmp_path))
    assert (code, out, error) == (0, f"{VIDEO}\n", "")
    assert (tmp_path / VIDEO).read_bytes() == origin.body("video")
    assert processes(tmp_path) == []


async def test_a_file_that_is_there_is_left_alone_unless_it_is_to_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("mine")
    async with gateway(post(("a.mp4", b"new"))) as url:
        code, out, _ = await run(tmp_path, "download", ADDRESS, "--server", url)
        assert (code, out) == (0, "a-2.mp4\n")
        assert (tmp_path / "a.mp4").read_text() == "mine"
        code, out, _ = await run(tmp_path, "download", ADDRESS, "--server", url, "--replace")
        assert (code, out) == (0, "a.mp4\n")
    assert (tmp_path / "a.mp4").read_text() == "new"


async def test_a_file_whose_numbered_name_is_too_long_is_left_alone_too(tmp_path: Path) -> None:
    name, other = "a" * 196 + ".mp4", "a" * 194 + "-2.mp4"
    (tmp_path / name).write_text("mine")
    async with gateway(post((name, b"new"))) as url:
        assert await run(tmp_path, "download", ADDRESS, "--server", url) == (0, f"{other}\n", "")
    assert (tmp_path / name).read_text() == "mine"
    assert (tmp_path / other).read_text() == "new"


async def test_an_address_is_no_markup(tmp_path: Path) -> None:
    async with gateway(post(("a.mp4", b"x"))) as url:
        asked = f"look [/b] {ADDRESS}"
        code, said = await on_terminal(tmp_path, "download", asked, "--server", url)
    assert code == 0
    assert "look [/b]" in said


async def test_names_and_titles_from_the_wire_are_hostile(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    names = ("../../up.mp4", "/tmp/up.mp4", ".bashrc", "a\x1b[2Jb.mp4", "CON")
    title = "\x1b]0;pwned\x07\x1b[2J\u202etitle [red]bold[/red]"
    async with gateway(post(*((name, b"x") for name in names), title=title)) as url:
        code, said = await on_terminal(tmp_path, "download", ADDRESS, "--server", url, "-o", "inside")
    assert code == 0
    saved = {path.name for path in inside.iterdir()}
    assert saved == {"_CON", "a[2Jb.mp4", "bashrc", "up-2.mp4", "up.mp4"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["inside"]
    assert "]0;pwned[2Jtitle [red]bold[/red]" in said
    assert "\x1b]0;" not in said
    assert "\x1b[2J" not in said
    assert "\u202e" not in said


async def test_a_terminal_gets_bars_and_a_pipe_paths(front: Front, tmp_path: Path) -> None:
    code, said = await on_terminal(tmp_path, "download", front.origin.url("video"), "--server", front.url)
    assert code == 0
    bar = f"  {VIDEO} {'━' * 30} 279.9/279.9 kB"
    assert screen(said) == ["A red kite over a quiet harbour #clipwire #demo", bar]
    code, said = await on_terminal(
        tmp_path, "download", front.origin.url("video"), "--server", front.url, NO_COLOR="1"
    )
    assert code == 0
    assert "\x1b[3" not in said  # a cursor that is moved is no colour


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_a_download_that_is_stopped_leaves_no_half_file(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    folder = tmp_path / "files"

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers=headers("title", ""))
        await response.prepare(request)
        await response.write(head("a.mp4", 1000) + b"half")
        await asyncio.Event().wait()
        return response

    async with gateway(answer) as url:
        process = await begun(tmp_path, "download", ADDRESS, "-o", "files", "--server", url)
        await until(lambda: any(folder.glob("*.part")), 30)
        process.send_signal(number)
        assert await ended(process) == (code, "", "")
    assert list(folder.iterdir()) == []


async def test_a_gateway_in_the_process_ends_with_it(origin: Origin, tmp_path: Path) -> None:
    process = await begun(
        tmp_path, "download", origin.url("cdn_hangs"), "-o", "files", **before(origin, tmp_path)
    )
    await until(lambda: any((tmp_path / "files").glob("*.part")), 30)
    assert len(processes(tmp_path)) > 1
    process.send_signal(signal.SIGINT)
    assert await ended(process) == (130, "", "")
    assert list((tmp_path / "files").iterdir()) == []
    assert processes(tmp_path) == []
    assert origin.open_reads == 0


async def test_a_gateway_that_dies_is_told_and_what_was_whole_stays(tmp_path: Path) -> None:
    body = head("a.mp4", 3) + b"all\r\n" + head("b.mp4", 100) + b"half"
    async with gateway(parts(body, ending=cut)) as url:
        code, out, error = await run(tmp_path, "download", ADDRESS, "--server", url)
    assert (code, out) == (1, "a.mp4\n")
    assert error.startswith(f"{ADDRESS}: ")
    assert error.endswith(" (CUT)\n")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


async def test_a_busy_gateway_is_asked_again_when_it_says(tmp_path: Path) -> None:
    asked = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        if asked == 1:
            return refusal(503, "BUSY", **{"Retry-After": "1"})
        return await post(("a.mp4", b"x"))(request)

    async with gateway(answer) as url:
        code, out, error = await run(tmp_path, "download", ADDRESS, "--server", url)
    assert (code, out, asked) == (0, "a.mp4\n", 2)
    assert error == "The gateway asks to come again in 1 s (BUSY).\n"


async def test_a_wait_that_is_too_long_is_told(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return refusal(429, "QUOTA_EXCEEDED", **{"Retry-After": "86400"})

    async with gateway(answer) as url:
        code, out, error = await run(tmp_path, "download", ADDRESS, "--server", url)
    assert (code, out) == (1, "")
    assert error == f"{ADDRESS}: Not now. Come again in 86400 s. (QUOTA_EXCEEDED)\n"


async def test_a_wrong_key_is_told_and_never_shown(start: Start, tmp_path: Path) -> None:
    front = await start(api_key="the-right-key-of-all")
    asked = ("download", front.origin.url("video"), "--server", front.url)
    code, out, error = await run(tmp_path, *asked, CLIPWIRE_KEY="a-wrong-secret-key")
    assert (code, out) == (1, "")
    assert error.endswith(" (API_KEY_INVALID)\n")
    assert "a-wrong-secret-key" not in error
    code, out, _ = await run(tmp_path, *asked, "--key", "the-right-key-of-all")
    assert (code, out) == (0, f"{VIDEO}\n")


async def test_a_key_may_have_a_line_end_after_it_and_none_within(tmp_path: Path) -> None:
    asked: list[str | None] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request.headers.get("X-API-Key"))
        return await post(("a.mp4", b"x"))(request)

    async with gateway(answer) as url:
        called = ("download", ADDRESS, "--server", url)
        assert await run(tmp_path, *called, CLIPWIRE_KEY="a-key\n") == (0, "a.mp4\n", "")
        code, out, error = await run(tmp_path, *called, CLIPWIRE_KEY="a-key\nabc")
    assert (code, out, asked) == (2, "", ["a-key"])
    assert "a-key" not in error
    assert "--key has a line end" in error


async def test_nobody_there_is_told_without_the_password(tmp_path: Path, unused_tcp_port: int) -> None:
    server = f"127.0.0.1:{unused_tcp_port}"
    code, out, error = await run(tmp_path, "download", ADDRESS, "--server", f"http://me:hunter2@{server}/")
    assert (code, out) == (1, "")
    assert error == f"{ADDRESS}: No gateway answers: http://{server}: refused (UNREACHABLE)\n"


async def test_a_reader_that_leaves_ends_it(tmp_path: Path) -> None:
    more = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers=headers("title", ""))
        await response.prepare(request)
        await response.write(head("a.mp4", 1) + b"a\r\n" + head("b.mp4", 1))
        await more.wait()
        await response.write(b"b\r\n" + head("c.mp4", 1))
        await asyncio.Event().wait()
        return response

    async with gateway(answer) as url:
        asked = ("download", ADDRESS, "--server", url)
        assert await left(tmp_path, *asked, first=b"a.mp4\n", more=more) == (141, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]


@pytest.mark.parametrize(
    "wrong",
    [
        [], ["--mode", "ALL", ADDRESS], ["--codec", "av1", ADDRESS], ["--server", "127.0.0.1:8000", ADDRESS],
        ["--server", "http://[", ADDRESS], ["-"],
    ],
)  # fmt: skip
async def test_a_wrong_call_does_nothing(tmp_path: Path, wrong: list[str]) -> None:
    code, out, error = await run(tmp_path, "download", *wrong)
    assert (code, out) == (2, "")
    assert error
    assert list(tmp_path.iterdir()) == []


async def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    code, out, error = await run(tmp_path, "download", ADDRESS, GATEWAY_STREAMS_MAX="none")
    assert (code, out) == (2, "")
    assert error.startswith("setting GATEWAY_STREAMS_MAX: ")
