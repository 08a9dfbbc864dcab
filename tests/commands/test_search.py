"""`search`: what was said, and when."""

import json
from pathlib import Path

from aiohttp import web

from tests.clients.stand_in import gateway
from tests.commands.running import on_terminal, run

TITLE = "The\tkite \x1b[2J"


def hit(number: int) -> dict[str, object]:
    fields = {"segment": number, "start": 63.25, "end": 65.0, "text": f"The Kite {number} flies."}
    return {"id": "n2GPA9stUAza6QC3awz4yQ", "title": TITLE} | fields


async def answer(request: web.Request) -> web.StreamResponse:
    """5 hits, at most 2 a page."""
    if request.query["q"] == "nothing":
        return web.json_response({"hits": [], "next": None})
    if request.query["q"] == "wrong":
        error = {"code": "API_KEY_INVALID", "message": "The key is not known.", "request_id": "1"}
        return web.json_response({"error": error}, status=401)
    at, limit = int(request.query.get("after", "0")), min(2, int(request.query["limit"]))
    found = list(range(at, min(5, at + limit)))
    after = str(at + len(found)) if at + len(found) < 5 else None
    return web.json_response({"hits": [hit(number) for number in found], "next": after})


async def test_a_pipe_gets_a_line_a_hit_of_all_pages(tmp_path: Path) -> None:
    async with gateway(answer) as url:
        code, out, error = await run(tmp_path, "search", "kite", "flies", "--server", url)
        assert (code, error) == (0, "")
        assert [line.split("\t") for line in out.splitlines()] == [
            ["n2GPA9stUAza6QC3awz4yQ", "63.250", "65.000", "The kite [2J", f"The Kite {number} flies."]
            for number in range(5)
        ]
        code, out, _ = await run(tmp_path, "search", "kite", "--limit", "3", "--server", url)
        assert len(out.splitlines()) == 3
        code, out, _ = await run(tmp_path, "search", "kite", "--json", "--server", url)
        assert [json.loads(line) for line in out.splitlines()] == [hit(number) for number in range(5)]


async def test_json_steers_no_terminal(tmp_path: Path) -> None:
    text = "a\x9b2Jb\u202ec \U000e0041 \x1b[2J"

    async def hostile(request: web.Request) -> web.StreamResponse:
        return web.json_response({"hits": [hit(0) | {"text": text}], "next": None})

    async with gateway(hostile) as url:
        code, said = await on_terminal(tmp_path, "search", "a", "--json", "--server", url)
    assert code == 0
    assert said.strip().isprintable()
    assert json.loads(said) == hit(0) | {"text": text}


async def test_a_terminal_gets_hits_below_their_titles(tmp_path: Path) -> None:
    async with gateway(answer) as url:
        code, said = await on_terminal(tmp_path, "search", "kite", "--server", url)
    assert code == 0
    assert said.count("The kite [2J") == 1
    assert "\x1b[2m   1:03\x1b[0m  The \x1b[1mKite\x1b[0m 4 flies.\r\n" in said
    assert "\x1b[2J" not in said


async def test_nothing_and_a_refusal_are_told(tmp_path: Path) -> None:
    async with gateway(answer) as url:
        nothing = await run(tmp_path, "search", "nothing", "--server", url)
        wrong = await run(tmp_path, "search", "wrong", "--server", url)
    assert nothing == (0, "", "Nothing was found.\n")
    assert wrong == (1, "", "wrong: The key is not known. (API_KEY_INVALID)\n")
