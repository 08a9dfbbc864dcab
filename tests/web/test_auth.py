"""Who may do what: with keys, without, from elsewhere, and where nobody knows."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
import structlog

from gateway.store.accounts import SCOPES, Scope
from gateway.web import auth
from gateway.web.app import ROUTES, Route
from tests.commands.running import run
from tests.web.callers import ADMIN, asked, code, key
from tests.web.conftest import Front, Start, started, until
from tests.web.script import END, INFO, Script, segment
from tests.web.test_status import serve

PAPER = (Path(__file__).parents[2] / "docs" / "api.md").read_text("utf-8")

# one route for each scope that is asked for, and in each dialect
PLAN = ("POST", "/download/plan", {"url": "https://example.org/", "content_type": "ORIGINAL"})
MODELS = ("GET", "/v1/models", None)
CODES = ("GET", "/codes", None)
LIST = ("GET", "/transcripts", None)
LET_IN = {"download": (400, "INVALID_URL"), "transcribe": (200, None), "admin": (200, None)}
NEEDED = (("download", PLAN), ("transcribe", MODELS), ("admin", CODES))


async def met(front: Front, what: tuple[str, str, Any], **headers: str) -> tuple[int, Any]:
    method, path, body = what
    return code(await asked(front, method, path, body=body, **headers))


async def let_in(front: Front, **headers: str) -> set[str]:
    """The scopes that are open to whoever sends these headers; the others are refused as they should be."""
    found = set()
    for scope, what in NEEDED:
        answer = await met(front, what, **headers)
        if answer == LET_IN[scope]:
            found.add(scope)
        else:
            assert answer[0] in (401, 403), answer
    return found


# without keys


async def test_without_keys_this_machine_may_do_all_but_what_is_the_operators(front: Front) -> None:
    assert await let_in(front) == {"download", "transcribe"}
    assert await met(front, CODES) == (403, "FORBIDDEN")


@pytest.mark.parametrize("headers", [{"X_API_Key": "none"}, {"Authorization": "Bearer none"}])
async def test_without_keys_any_key_is_passed_over(front: Front, headers: dict[str, str]) -> None:
    assert await let_in(front, **headers) == {"download", "transcribe"}


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "127.1.2.3", "[::1]:8000"])
async def test_this_machine_is_called_by_its_names(front: Front, host: str) -> None:
    assert await met(front, MODELS, Host=host) == (200, None)


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8000", "10.0.0.1", "x", "", "[::2]"],
)
async def test_a_name_that_leads_here_from_elsewhere_is_refused(front: Front, host: str) -> None:
    for path in ("/v1/models", "/live", "/transcripts/nothing", "/nothing"):
        assert (await asked(front, "GET", path, Host=host))[0] == 403


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
async def test_what_a_page_from_elsewhere_sends_is_refused(front: Front, method: str) -> None:
    path = "/transcribe" if method == "POST" else "/transcripts/nothing"
    for origin in ("https://evil.example", "null", "http://localhost.evil.example"):
        assert code(await asked(front, method, path, body={}, Origin=origin)) == (403, "FORBIDDEN")
    for origin in ("http://localhost:3000", "http://127.0.0.1:8000"):
        assert (await asked(front, method, path, body={}, Origin=origin))[0] in (400, 404)


async def test_with_keys_any_name_and_any_page_will_do(start: Start) -> None:
    front = await start(admin_key=ADMIN)
    elsewhere = {"Host": "media.example", "Origin": "https://page.example", "X_API_Key": ADMIN}
    assert await met(front, ("POST", "/codes", {"count": 1}), **elsewhere) == (201, None)


# with keys


async def test_the_operators_key_opens_everything(start: Start) -> None:
    front = await start(admin_key=ADMIN)
    assert await let_in(front, X_API_Key=ADMIN) == {"download", "transcribe", "admin"}
    assert await let_in(front, Authorization=f"bearer  {ADMIN}") == {"download", "transcribe", "admin"}


async def test_once_there_is_a_key_nobody_comes_in_without(start: Start) -> None:
    front = await start(api_key="one for all of us")
    assert await let_in(front) == set()
    for what in (PLAN, MODELS):
        assert await met(front, what) == (401, "API_KEY_INVALID")
        assert await met(front, what, X_API_Key="another") == (401, "API_KEY_INVALID")
    assert await let_in(front, X_API_Key="one for all of us") == {"download", "transcribe"}
    assert await met(front, CODES, X_API_Key="one for all of us") == (403, "FORBIDDEN")


async def test_who_may_not_come_in_is_told_before_the_body_is_sent(start: Start) -> None:
    front = await start(admin_key=ADMIN)
    reader, writer = await front.connect()
    writer.write(
        b"POST /transcribe HTTP/1.1\r\nHost: localhost\r\nContent-Type: audio/mpeg\r\n"
        b"Content-Length: 1000000\r\nExpect: 100-continue\r\n\r\n"
    )
    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
    assert b" 401 " in head.splitlines()[0]
    writer.close()


async def test_a_refusal_is_told_in_the_words_of_each_dialect(start: Start) -> None:
    front = await start(admin_key=ADMIN)
    status, body = await asked(front, "POST", "/download", body={})
    assert (status, set(body), body["code"]) == (401, {"detail", "code"}, "API_KEY_INVALID")
    status, body = await asked(front, "GET", "/v1/models")
    assert (status, body["error"]["code"]) == (401, "api_key_invalid")
    status, body = await asked(front, "GET", "/transcripts")
    assert (status, body["error"]["code"]) == (401, "API_KEY_INVALID")


@pytest.mark.parametrize(("scope", "what"), NEEDED)
async def test_a_key_is_good_for_its_scopes_only(front: Front, scope: Any, what: Any) -> None:
    mine = await key(front, "alice", scope)
    sent = {"X_API_Key": mine["X-API-Key"]}
    assert await let_in(front, **sent) == {scope}
    others = [one for name, one in NEEDED if name != scope]
    assert {await met(front, one, **sent) for one in others} == {(403, "FORBIDDEN")}


@pytest.mark.parametrize(
    "route", [one for one in ROUTES if one.scope], ids=lambda one: f"{one.method} {one.path}"
)
async def test_each_route_wants_a_key_and_the_scope_that_the_papers_name(front: Front, route: Route) -> None:
    path = re.sub(r"{\w+}", "anything", route.path)
    assert documented(path) == route.scope
    others: tuple[Scope, ...] = tuple(one for one in SCOPES if one != route.scope)
    mine = await key(front, "alice", *others)
    body = {} if route.method == "POST" else None
    for headers in ({}, {"X_API_Key": "cw_wrong"}):
        assert code(await asked(front, route.method, path, body=body, **headers)) == (401, "API_KEY_INVALID")
    found = await asked(front, route.method, path, body=body, X_API_Key=mine["X-API-Key"])
    assert code(found) == (403, "FORBIDDEN")


def documented(path: str) -> str:
    """The scope that the table of docs/api.md names for a path."""
    if path.startswith(("/extract",)):
        return "extract"
    rows = re.findall(r"^\| `(download|transcribe|admin)` \| (.*) \|$", PAPER, re.M)
    assert len(rows) == 3
    named = {one.rstrip("."): scope for scope, text in rows for one in re.findall(r"`(/[^`]*)`", text)} | {
        "/transcripts": "transcribe",
        "/api/v3/download": "download",
    }
    return named[max((one for one in named if path.startswith(one)), key=len)]


async def test_a_key_whose_time_is_over_is_none(front: Front) -> None:
    made = await front.gateway.accounts.create("alice", ("download", "transcribe"), expires_s=3)
    assert await let_in(front, X_API_Key=made.key) == {"download", "transcribe"}
    async with asyncio.timeout(30):
        while await met(front, MODELS, X_API_Key=made.key) == (200, None):
            await asyncio.sleep(0.2)
    assert await met(front, MODELS, X_API_Key=made.key) == (401, "API_KEY_INVALID")


async def test_words_between_the_bytes_are_transcribed_and_need_that_scope(front: Front) -> None:
    mine = await key(front, "alice", "download")
    body = {"url": front.origin.url("video"), "content_type": "VIDEO_ONLY", "transcript": True}
    found = await asked(front, "POST", "/download", body=body, X_API_Key=mine["X-API-Key"])
    assert code(found) == (403, "FORBIDDEN")


async def test_a_key_that_was_revoked_is_none_and_the_server_stays_shut(front: Front) -> None:
    mine = await key(front, "alice")
    assert await let_in(front, X_API_Key=mine["X-API-Key"]) == {"download", "transcribe"}
    await front.gateway.accounts.revoke(mine["X-API-Key"])
    assert await let_in(front, X_API_Key=mine["X-API-Key"]) == set()
    assert await let_in(front) == set()  # it does not stand open to this machine again


async def test_what_needs_no_key_needs_none_and_takes_any(start: Start) -> None:
    front = await start(admin_key=ADMIN)
    script = Script(front.gateway.transcripts)
    script.say(INFO, segment(0), END)
    await script.have(3)
    for path in ("/live", "/ping", "/", script.path, f"{script.path}.txt"):
        assert (await asked(front, "GET", path))[0] == 200
        assert (await asked(front, "GET", path, X_API_Key="another"))[0] == 200


def test_every_route_that_works_asks_who_calls() -> None:
    """A route is open only where somebody thought about it."""
    known = {
        "/ping", "/api/v3/ping", "/media/{token}/{name}", "/transcripts", "/transcripts/{id}/events",
        "/transcripts/{id}.{form}", "/transcripts/{id}", "/codes/{id}/credit", "/live", "/ready", "/",
        "/metrics",  # asks by itself: for the operator, or from this machine
        "/api/transcribe",  # is signed
        "/api/health", "/api/version", "/version", "/queue/status",
        "/health", "/supported-platforms", "/stats",
        "/openapi.json", "/docs", "/docs/{asset}", "/ui", "/ui/", "/ui/{file}",
    }  # fmt: skip
    assert {one.path for one in ROUTES if one.scope is None} == known


async def test_keys_of_signed_calls_open_nothing_by_themselves(start: Start) -> None:
    kept = json.dumps({"a key of bob": "bob", "a key of eve": "eve"})
    front = await start(api_keys_json=kept, api_secret="a secret")
    assert await let_in(front) == await let_in(front, X_API_Key="a key of bob") == set()
    owner = await auth.signed_owner(front.gateway, "a key of eve")
    assert owner is not None
    assert (owner.id, owner.scopes) == ("eve", {"download", "transcribe", "extract"})
    assert await auth.signed_owner(front.gateway, "a key of nobody") is None


# open to strangers


async def test_what_is_open_is_open_and_nothing_else(start: Start) -> None:
    front = await start(admin_key=ADMIN, open="download")
    assert await let_in(front) == {"download"}
    assert await let_in(front, X_API_Key="another") == set()  # a wrong key is told, not passed over
    assert await met(front, PLAN, X_API_Key="another") == (401, "API_KEY_INVALID")


async def test_open_to_all_is_never_open_for_the_operators_part(start: Start) -> None:
    front = await start(open="true")
    assert await let_in(front) == await let_in(front, X_API_Key="none") == {"download", "transcribe"}
    assert await met(front, CODES) == (403, "FORBIDDEN")
    assert await met(front, LIST) == (401, "API_KEY_INVALID")  # what others asked for is not for all to see
    assert await met(front, MODELS, Host="media.example") == (200, None)


# the database


async def test_with_the_database_away_keys_that_are_known_go_on(front: Front) -> None:
    await until(lambda: front.gateway.database_state == "ok", 30)
    mine, other = await key(front, "alice"), await key(front, "bob")
    assert await met(front, MODELS, X_API_Key=mine["X-API-Key"]) == (200, None)
    front.gateway.database.ready = False  # as a database of another version
    front.gateway.database.away = True
    assert await met(front, MODELS, X_API_Key=mine["X-API-Key"]) == (200, None)
    assert await met(front, MODELS, X_API_Key=other["X-API-Key"]) == (503, "STORE_UNAVAILABLE")
    async with front.session.get(front.url + MODELS[1], headers=other) as response:
        assert int(response.headers["Retry-After"]) > 0
    assert await met(front, MODELS) == (401, "API_KEY_INVALID")
    assert (await asked(front, "GET", "/live"))[0] == 200


async def test_while_nobody_knows_of_keys_nobody_is_let_in(tmp_path: Path) -> None:
    url = "postgresql://somebody@127.0.0.1:1/away"
    async with started(tmp_path, database_url=url) as front:
        assert await met(front, MODELS) == (503, "STORE_UNAVAILABLE")
        assert (await asked(front, "GET", "/live"))[0] == 200
    async with started(tmp_path, database_url=url, api_key="one for all") as front:
        assert await met(front, MODELS, X_API_Key="one for all") == (200, None)


async def test_no_key_is_in_the_log(start: Start) -> None:
    front = await start(admin_key=ADMIN)
    mine = await key(front, "alice")
    with structlog.testing.capture_logs() as logs:
        for one in (ADMIN, mine["X-API-Key"], "cw_wrong"):
            await met(front, MODELS, X_API_Key=one)
            await met(front, CODES, Authorization=f"Bearer {one}")
    assert len(logs) >= 6
    assert not any(one in str(logs) for one in (ADMIN, mine["X-API-Key"], "cw_wrong"))


# started


async def refused(folder: Path, **env: str) -> tuple[int, str]:
    """The exit code of a server that others reach, and what it says."""
    code, _, said = await run(folder, "serve", GATEWAY_HOST="0.0.0.0", GATEWAY_PORT="0",
                              GATEWAY_MODEL=str(folder / "none"), **env)  # fmt: skip
    return code, said


async def test_where_others_reach_it_a_server_without_keys_does_not_start(tmp_path: Path) -> None:
    status, said = await refused(tmp_path)
    assert status == 2
    for name in ("GATEWAY_ADMIN_KEY", "GATEWAY_API_KEY", "GATEWAY_OPEN"):
        assert name in said
    assert '"listening"' not in said


@pytest.mark.parametrize("name", ["GATEWAY_OPEN", "GATEWAY_ADMIN_KEY"])
async def test_where_others_reach_it_a_server_that_says_who_may_call_starts(
    tmp_path: Path, name: str
) -> None:
    async with started(tmp_path / "site") as front:
        value = "download" if name == "GATEWAY_OPEN" else ADMIN
        async with serve(tmp_path, front.origin, host="0.0.0.0", env={name: value}) as served:
            assert await served.stopped() == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GATEWAY_OPEN", "admin"), ("GATEWAY_OPEN", "download,upload"),
        ("GATEWAY_TRUSTED_PROXIES", "10.0.0.0/99"),
        ("API_KEYS_JSON", "[]"), ("API_KEYS_JSON", '{"a secret key": 1}'),
        ("API_KEYS_JSON", '{"a secret key": "operator"}'), ("GATEWAY_ADMIN_KEY", "a secret key"),
    ],
)  # fmt: skip
async def test_a_wrong_setting_is_named_without_its_secret(tmp_path: Path, name: str, value: str) -> None:
    status, said = await refused(tmp_path, **{name: value})
    assert status == 2
    assert name.removeprefix("GATEWAY_") in said
    assert "a secret key" not in said
