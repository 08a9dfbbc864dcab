"""`transcribe`: the words of posts and files, as they come."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from tests.clients.stand_in import Ending, Handler, clean, cut, gateway, lines, silence
from tests.commands.running import (
    before,
    begun,
    ended,
    left,
    on_terminal,
    processes,
    run,
    screen,
)
from tests.origin.origin import Origin
from tests.serving import environment
from tests.web.conftest import Front, front, start, until

__all__ = ["front", "start"]  # fixtures
ADDRESS = "https://www.tiktok.com/@someone/video/7400000000000000001"
SPOKEN = "When the fog comes in, she turns on the great lamp, and the sailors find their way home."
INFO = (
    b'{"type":"info","id":"n2GPA9stUAza6QC3awz4yQ","language":"en","language_probability":0.75,"duration":9.0,'
    b'"model":"base","source":"speech"}\n'
)
ENDED = {"type": "end", "segments": 2, "duration": 9.0, "text_sha256": "00", "elapsed_ms": 1}
FAILED = b'{"type":"error","code":"SPEECH_FAILED","message":"Recognising failed twice."}\n'


def segment(number: int, text: str) -> bytes:
    fields = {"type": "segment", "id": number, "start": number * 4.0, "end": number * 4.0 + 3.5, "text": text}
    return json.dumps(fields).encode() + b"\n"


def words(*pieces: bytes, ending: Ending = clean) -> Handler:
    """A transcript of these segments and what else."""
    return lines(INFO, *pieces, ending=ending)


def end(speech: str, *reasons: str) -> bytes:
    return json.dumps(ENDED | {"speech": speech, "reasons": reasons}).encode() + b"\n"


WHOLE = (segment(0, " One."), segment(1, " Two  <b>."), end("ok"))


@pytest.fixture
async def origin(tmp_path: Path) -> AsyncIterator[Origin]:
    async with Origin(tmp_path / "origin") as origin:
        yield origin


async def test_a_pipe_gets_a_line_as_soon_as_it_is_known(tmp_path: Path) -> None:
    more = asyncio.Event()

    async def rest(request: web.Request) -> None:
        await more.wait()
        await clean(request)

    async with gateway(words(segment(0, " One."), segment(1, " Two."), ending=rest)) as url:
        process = await begun(tmp_path, "transcribe", ADDRESS, "--server", url)
        assert process.stdout is not None
        assert await process.stdout.readline() == b"One.\n"
        assert await process.stdout.readline() == b"Two.\n"
        assert process.returncode is None
        more.set()
        code, _, error = await ended(process)
    assert code == 1
    assert error.endswith(" (CUT)\n")


async def test_a_terminal_gets_the_times_too_and_nothing_that_moves_its_cursor(tmp_path: Path) -> None:
    hostile = segment(1, " a\x1b[2J\x9b2Jb\u202ec \u0645\u06cc\u200c\u062e")
    async with gateway(words(segment(0, " One."), hostile, end("ok"))) as url:
        code, said = await on_terminal(tmp_path, "transcribe", ADDRESS, "--server", url, NO_COLOR="1")
        assert code == 0
        assert "   0:00  One.\r\n" in said
        assert "   0:04  a[2J2Jbc \u0645\u06cc\u200c\u062e\r\n" in said
        assert "heard 0:03 of 0:09" in said
        assert screen(said) == ["   0:00  One.", "   0:04  a[2J2Jbc \u0645\u06cc\u200c\u062e"]
        code, said = await on_terminal(tmp_path, "transcribe", ADDRESS, "--server", url, "-f", "srt")
        assert code == 0
        assert "\x1b[2J" not in said
        code, said = await on_terminal(tmp_path, "transcribe", ADDRESS, "--server", url)
        assert "\x1b[2m   0:00\x1b[0m  One.\r\n" in said


async def test_a_silent_sound_is_told(tmp_path: Path) -> None:
    async with gateway(words(end("none", "no_voice"))) as url:
        assert await run(tmp_path, "transcribe", ADDRESS, "--server", url) == (
            0,
            "",
            "No words were heard: no voice.\n",
        )


@pytest.mark.parametrize("form", ["srt", "vtt", "json"])
async def test_a_file_is_what_the_gateway_itself_would_give(front: Front, tmp_path: Path, form: str) -> None:
    url = front.origin.url("captions")
    code, out, error = await run(
        tmp_path, "transcribe", f"so good {url} !", "--server", front.url, "-f", form, "-o", "words/"
    )  # fmt: skip
    assert (code, out, error) == (0, f"words/7400000000000000015.{form}\n", "")
    kept = (tmp_path / out.strip()).read_bytes()
    async with front.post(f"/transcribe?format={form}", url=url) as answer:
        assert kept == await answer.read()
    code, out, error = await run(tmp_path, "transcribe", url, "--server", front.url, "--format", form)
    assert (code, out.encode(), error) == (0, kept, "")


async def test_wishes_reach_the_gateway(tmp_path: Path) -> None:
    asked: list[object] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(await request.json())
        return await words(*WHOLE)(request)

    async with gateway(answer) as url:
        code, out, _ = await run(
            tmp_path, "transcribe", ADDRESS, "--language", "de", "--task", "translate", "--words", "--source",
            "speech", "--prompt", "before", "--hotwords", "kite", "--server", url,
        )  # fmt: skip
    assert (code, out) == (0, "One.\nTwo <b>.\n")
    assert asked == [
        {
            "url": ADDRESS, "language": "de", "task": "translate", "words": True, "source": "speech",
            "prompt": "before", "hotwords": "kite",
        }
    ]  # fmt: skip


async def test_one_that_fails_stops_no_other_and_files_are_called_as_what_was_heard(tmp_path: Path) -> None:
    for name in ("talk.mp3", "talk.mp4"):
        (tmp_path / name).write_bytes(b"media")
    (tmp_path / "talk.srt").write_text("mine")
    async with gateway(words(*WHOLE)) as url:
        code, out, error = await run(
            tmp_path, "transcribe", "talk.mp3", "missing.mp3", "talk.mp4", ".", "-f", "srt", "-o", ".",
            "--server", url,
        )  # fmt: skip
    assert (code, out) == (1, "talk-2.srt\ntalk-3.srt\n")
    assert error.splitlines() == [
        "missing.mp3: There is no such file, and it is no address.",
        ".: It is not a plain file.",
        "2 of 4 failed.",
    ]
    assert (tmp_path / "talk.srt").read_text() == "mine"
    assert (tmp_path / "talk-3.srt").read_text().startswith("1\n00:00:00,000 --> 00:00:03,500\nOne.\n")


async def test_a_file_that_is_there_is_left_alone_unless_it_is_to_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "talk.mp4").write_bytes(b"media")
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "alias.mp4").symlink_to("talk.mp4")
    async with gateway(words(*WHOLE)) as url:
        asked = ("transcribe", "talk.mp4", "--server", url, "-o")
        assert await run(tmp_path, *asked, "mine.txt") == (0, "mine-2.txt\n", "")
        assert (tmp_path / "mine.txt").read_text() == "mine"
        assert await run(tmp_path, *asked, "mine.txt", "--replace") == (0, "mine.txt\n", "")
        assert (tmp_path / "mine.txt").read_text() == "One.\nTwo <b>.\n"
        assert await run(tmp_path, *asked, "talk.mp4") == (0, "talk-2.mp4\n", "")
        assert await run(tmp_path, *asked, "talk.mp4", "--replace") == (0, "talk-2.mp4\n", "")
        assert await run(tmp_path, *asked, "alias.mp4", "--replace") == (0, "alias-2.mp4\n", "")
    assert (tmp_path / "talk.mp4").read_bytes() == b"media"
    assert (tmp_path / "alias.mp4").is_symlink()


async def test_what_is_no_plain_file_is_written_into(tmp_path: Path) -> None:
    fifo, nothing = tmp_path / "fifo", tmp_path / "nothing"
    os.mkfifo(fifo)
    nothing.symlink_to(os.devnull)
    async with gateway(words(*WHOLE)) as url:
        asked = ("transcribe", ADDRESS, "--server", url, "-o")
        assert await run(tmp_path, *asked, "nothing") == (0, "nothing\n", "")
        assert nothing.is_symlink()
        process = await begun(tmp_path, *asked, "fifo")
        async with asyncio.timeout(60):
            assert await asyncio.to_thread(fifo.read_bytes) == b"One.\nTwo <b>.\n"
        assert await ended(process) == (0, "fifo\n", "")
        assert fifo.is_fifo()
    assert {path.name for path in tmp_path.iterdir()} == {"fifo", "nothing"}


async def test_what_is_in_the_file_behind_the_output_stays(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("before\n")
    async with gateway(words(*WHOLE)) as url:
        with kept.open("ab") as out:
            asked = ("transcribe", ADDRESS, "--server", url, "-o", "/dev/stdout")
            process = await begun(tmp_path, *asked, stdout=out.fileno())
            assert await ended(process) == (0, "", "")
    assert kept.read_text() == "before\nOne.\nTwo <b>.\n/dev/stdout\n"


async def test_a_fifo_that_nobody_reads_keeps_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    asked = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.set()
        return await words(*WHOLE)(request)

    async with gateway(answer) as url:
        process = await begun(tmp_path, "transcribe", ADDRESS, "--server", url, "-o", "fifo")
        await asyncio.wait_for(asked.wait(), 60)
        process.send_signal(signal.SIGTERM)
        assert await ended(process) == (143, "", "")


async def test_the_ending_of_the_file_names_the_form(tmp_path: Path) -> None:
    async with gateway(words(*WHOLE)) as url:
        asked = ("transcribe", ADDRESS, "--server", url, "-o")
        for name in ("a.VTT", "a.srt", "a.json", "a.doc"):
            assert await run(tmp_path, *asked, name) == (0, f"{name}\n", "")
        assert await run(tmp_path, *asked, "b.srt", "-f", "txt") == (0, "b.srt\n", "")
    assert (tmp_path / "a.VTT").read_text().startswith("WEBVTT\n")
    assert (tmp_path / "a.srt").read_text().startswith("1\n00:00:00,000 --> ")
    assert json.loads((tmp_path / "a.json").read_text())["text"]
    assert (tmp_path / "a.doc").read_text() == (tmp_path / "b.srt").read_text() == "One.\nTwo <b>.\n"


async def test_a_model_that_is_fetched_is_told_on_a_terminal_only(
    tmp_path: Path, unused_tcp_port: int
) -> None:
    (tmp_path / "talk.mp3").write_bytes(b"media")
    hub = f"http://127.0.0.1:{unused_tcp_port}"
    for quiet in ([], ["--quiet"]):
        code, out, error = await run(
            tmp_path, "transcribe", "talk.mp3", *quiet, GATEWAY_MODEL="tiny.en", HF_ENDPOINT=hub
        )
        assert (code, out) == (1, "")
        assert error.strip()
        assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    ("handler", "error", "printed"),
    [
        (words(segment(0, " One."), FAILED), "Recognising failed twice. (SPEECH_FAILED)", "One.\n"),
        (words(segment(0, " One."), ending=cut), "(CUT)", "One.\n"),
        (lines(b"<html>\n"), "(MALFORMED)", ""),
    ],
)  # fmt: skip
async def test_one_that_ends_early_is_told_and_leaves_no_file(
    tmp_path: Path, handler: Handler, error: str, printed: str
) -> None:
    async with gateway(handler) as url:
        code, out, said = await run(tmp_path, "transcribe", ADDRESS, "--server", url)
        assert (code, out) == (1, printed)
        assert said.startswith(f"{ADDRESS}: ")
        assert said.endswith(f"{error}\n")
        code, out, _ = await run(tmp_path, "transcribe", ADDRESS, "--server", url, "-o", "words.txt")
        assert (code, out) == (1, "")
    assert list(tmp_path.iterdir()) == []


async def test_a_document_that_fails_says_so_itself(tmp_path: Path) -> None:
    async with gateway(words(segment(0, " One."), FAILED)) as url:
        code, out, _ = await run(tmp_path, "transcribe", ADDRESS, "--server", url, "-f", "json")
    assert code == 1
    assert json.loads(out)["error"]["code"] == "SPEECH_FAILED"


async def test_ctrl_c_leaves_no_half_file(tmp_path: Path) -> None:
    async with gateway(words(segment(0, " One."), ending=silence)) as url:
        process = await begun(tmp_path, "transcribe", ADDRESS, "--server", url, "-o", "words.txt")
        await until(lambda: any(tmp_path.glob("*.part")), 30)
        process.send_signal(signal.SIGINT)
        assert await ended(process) == (130, "", "")
    assert list(tmp_path.iterdir()) == []


async def test_a_reader_that_leaves_ends_it(tmp_path: Path) -> None:
    more = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        await response.write(INFO + segment(0, " One."))
        await more.wait()
        await response.write(segment(1, " Two."))
        await asyncio.Event().wait()
        return response

    async with gateway(answer) as url:
        asked = ("transcribe", ADDRESS, "--server", url)
        assert await left(tmp_path, *asked, first=b"One.\n", more=more) == (141, "")


async def test_a_full_disk_behind_the_output_is_told(tmp_path: Path) -> None:
    async with gateway(words(*WHOLE)) as url:
        with open("/dev/full", "wb") as full:
            process = await begun(tmp_path, "transcribe", ADDRESS, "--server", url, stdout=full.fileno())
            assert await ended(process) == (1, "", f"{ADDRESS}: No space left on device\n")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-"])
async def test_outputs_that_are_closed_are_no_harm(tmp_path: Path, closed: str) -> None:
    async with gateway(words(*WHOLE)) as url:
        asked = f"{sys.executable} -m gateway transcribe {ADDRESS} --server {url} -o words.txt {closed}"
        process = await asyncio.create_subprocess_shell(asked, cwd=tmp_path, env=environment(tmp_path))
        assert await process.wait() == 0
    assert (tmp_path / "words.txt").read_text() == "One.\nTwo <b>.\n"


async def test_a_code_pays_for_one_file_and_is_never_shown(tmp_path: Path) -> None:
    asked: list[tuple[str, str | None]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append((request.path_qs, request.headers.get("X-Auth-Code")))
        await request.read()
        if request.method == "POST":
            begun = {"id": "abc", "status": "running", "duration_s": None, "charged_s": None, "text": None}
            return web.json_response(begun, status=202)
        return await words(*WHOLE)(request)

    (tmp_path / "talk.mp3").write_bytes(b"media")
    async with gateway(answer) as url:
        code, out, error = await run(
            tmp_path, "transcribe", "talk.mp3", "--server", url, CLIPWIRE_CODE="7KQ2M-SECRET"
        )
        assert (code, out, error) == (0, "One.\nTwo <b>.\n", "The transcript is abc.\n")
        assert [one[1] for one in asked] == ["7KQ2M-SECRET", None]
        code, out, _ = await run(
            tmp_path, "transcribe", "talk.mp3", "--server", url, CLIPWIRE_CODE="7KQ2M-SECRET\n"
        )
        assert (code, asked[2][1]) == (0, "7KQ2M-SECRET")
        code, out, error = await run(
            tmp_path, "transcribe", "talk.mp3", "--server", url, CLIPWIRE_CODE="7KQ2M\nSECRET"
        )
        assert (code, out) == (2, "")
        assert "SECRET" not in error
        for wrong in (["talk.mp3"], ["talk.mp3", "talk.mp3", "--server", url], [ADDRESS, "--server", url]):
            code, out, error = await run(tmp_path, "transcribe", *wrong, "--code", "7KQ2M-SECRET")
            assert (code, out) == (2, "")
            assert "SECRET" not in error


async def test_subtitles_of_several_need_a_folder(tmp_path: Path) -> None:
    code, out, error = await run(tmp_path, "transcribe", ADDRESS, ADDRESS, "--format", "srt")
    assert (code, out) == (2, "")
    assert "--output" in error


async def test_captions_in_one_process_need_no_model(origin: Origin, tmp_path: Path) -> None:
    asked = ("transcribe", origin.url("captions"), "--source", "captions")
    code, out, error = await run(tmp_path, *asked, **before(origin, tmp_path))
    assert (code, error) == (0, "")
    assert SPOKEN in out.splitlines()
    assert processes(tmp_path) == []
    code, out, error = await run(tmp_path, "search", "great lamp", **before(origin, tmp_path))
    assert (code, error) == (0, "")
    assert out.splitlines()[0].split("\t")[4] == SPOKEN


async def test_a_file_is_heard_in_one_process(tmp_path: Path, base_model: Path) -> None:
    clip = Path(__file__).parents[1] / "origin/clips/speech.mp4"
    code, out, error = await run(
        tmp_path, "transcribe", str(clip), "--language", "en", GATEWAY_MODEL=str(base_model)
    )
    assert (code, error) == (0, "")
    assert "Every morning, the keeper opens the blue door" in out
    assert len(out.splitlines()) >= 3
    assert processes(tmp_path) == []
