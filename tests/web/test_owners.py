"""Whose a transcript is: who asked for it, and whoever asked for the same."""

from typing import Any

import pytest

from tests.web.callers import ADMIN, asked, code, key
from tests.web.conftest import Front, Start
from tests.web.script import INFO, Script


@pytest.fixture
async def front(start: Start) -> Front:
    found: Front = await start(admin_key=ADMIN)
    return found


async def transcribed(front: Front, headers: dict[str, str], language: str = "en") -> str:
    """The id of a transcript of a post's captions, which needs no model."""
    body = {"url": front.origin.url("captions"), "source": "captions", "language": language}
    async with front.session.post(front.url + "/transcribe", json=body, headers=headers) as response:
        assert response.status == 200, await response.text()
        await response.read()
        return response.headers["Transcript-Id"]


async def listed(front: Front, headers: dict[str, str], query: str = "") -> list[str]:
    await front.gateway.writer.close()  # what waits for its row gets it
    status, page = await asked(front, "GET", f"/transcripts{query}", **sent(headers))
    assert status == 200
    return [one["id"] for one in page["transcripts" if not query else "hits"]]


def sent(headers: dict[str, str]) -> dict[str, str]:
    return {"X_API_Key": headers["X-API-Key"]}


OPERATOR = {"X-API-Key": ADMIN}


async def test_lists_and_search_show_what_is_the_callers(front: Front) -> None:
    alice, bob = await key(front, "alice"), await key(front, "bob")
    mine, his = await transcribed(front, alice), await transcribed(front, bob, "es")
    assert mine != his
    assert await listed(front, alice) == [mine]
    assert await listed(front, bob) == [his]
    assert set(await listed(front, OPERATOR)) == {mine, his}
    text = (await asked(front, "GET", f"/transcripts/{mine}.txt"))[1]
    word = max(text.split(), key=len).strip(".,!?")
    assert set(await listed(front, alice, f"?q={word}")) == {mine}
    assert mine not in await listed(front, bob, f"?q={word}")


@pytest.mark.parametrize("written", [True, False])
async def test_who_asks_for_the_same_has_it_too(front: Front, written: bool) -> None:
    alice, bob = await key(front, "alice"), await key(front, "bob")
    shared = await transcribed(front, alice)
    if written:
        await front.gateway.writer.close()
    assert await transcribed(front, bob) == shared
    assert await listed(front, alice) == await listed(front, bob) == [shared]


async def test_who_knows_the_id_reads_it_and_only_an_owner_changes_it(front: Front) -> None:
    alice, bob = await key(front, "alice"), await key(front, "bob")
    path = f"/transcripts/{await transcribed(front, alice)}"
    assert (await asked(front, "GET", path, **sent(bob)))[0] == 200
    assert (await asked(front, "GET", path))[0] == 200
    for who in (sent(bob), {}):
        for method, body in (
            ("PATCH", {"title": "his"}),
            ("PATCH", {"state": "cancelled"}),
            ("DELETE", None),
        ):
            assert code(await asked(front, method, path, body=body, **who)) == (403, "FORBIDDEN")
    assert code(await asked(front, "DELETE", path, X_API_Key="another")) == (401, "API_KEY_INVALID")
    status, told = await asked(front, "PATCH", path, body={"title": "mine"}, **sent(alice))
    assert (status, told["title"]) == (200, "mine")
    status, told = await asked(front, "PATCH", path, body={"title": "the operator's"}, **sent(OPERATOR))
    assert (status, told["title"]) == (200, "the operator's")
    assert code(await asked(front, "DELETE", "/transcripts/nothing", **sent(bob))) == (404, "NOT_FOUND")


async def test_it_is_gone_when_the_last_has_let_it_go(front: Front) -> None:
    alice, bob = await key(front, "alice"), await key(front, "bob")
    shared = await transcribed(front, alice)
    await transcribed(front, bob)
    path = f"/transcripts/{shared}"
    assert (await asked(front, "DELETE", path, **sent(alice)))[0] == 204
    assert (await listed(front, alice), await listed(front, bob)) == ([], [shared])
    assert code(await asked(front, "DELETE", path, **sent(alice))) == (403, "FORBIDDEN")
    assert (await asked(front, "GET", path))[0] == 200
    assert (await asked(front, "DELETE", path, **sent(bob)))[0] == 204
    assert (await asked(front, "GET", path))[0] == 404
    assert await listed(front, OPERATOR) == []


async def test_the_operator_removes_it_from_all(front: Front) -> None:
    alice, bob = await key(front, "alice"), await key(front, "bob")
    shared = await transcribed(front, alice)
    await transcribed(front, bob)
    assert (await asked(front, "DELETE", f"/transcripts/{shared}", **sent(OPERATOR)))[0] == 204
    assert await listed(front, alice) == await listed(front, bob) == []


async def test_it_is_the_same_after_a_restart(start: Start, front: Front) -> None:
    alice = await key(front, "alice")
    path = f"/transcripts/{await transcribed(front, alice)}"
    await front.gateway.writer.close()
    for transcript in list(front.gateway.transcripts._kept):
        front.gateway.transcripts.remove(transcript)  # as a new process, which has only the rows
    bob = await key(front, "bob")
    assert code(await asked(front, "DELETE", path, **sent(bob))) == (403, "FORBIDDEN")
    assert (await asked(front, "PATCH", path, body={"title": "mine"}, **sent(alice)))[0] == 200
    assert (await asked(front, "DELETE", path, **sent(alice)))[0] == 204


async def test_what_strangers_asked_for_is_for_whoever_has_its_id(start: Start) -> None:
    front = await start(admin_key=ADMIN, open="transcribe")
    path = f"/transcripts/{await transcribed(front, {})}"
    assert code(await asked(front, "GET", "/transcripts")) == (401, "API_KEY_INVALID")
    assert (await asked(front, "PATCH", path, body={"title": "any"}))[0] == 200
    alice = await key(front, "alice")
    await transcribed(front, alice)
    assert (await asked(front, "DELETE", path))[0] == 204  # the strangers' part of it
    assert (await asked(front, "GET", path))[0] == 200
    assert (await asked(front, "DELETE", path, **sent(alice)))[0] == 204
    assert (await asked(front, "GET", path))[0] == 404


async def test_captions_cost_no_audio(front: Front) -> None:
    alice = await key(front, "alice")
    await transcribed(front, alice)
    used: Any = await front.gateway.usage.used("alice")
    assert (used.audio_ms, used.bytes_out > 0) == (0, True)


async def test_only_what_is_newly_recognised_costs_and_only_who_asked_first(
    speaking: Front,
) -> None:
    alice, bob = await key(speaking, "alice"), await key(speaking, "bob")
    body = {"url": speaking.origin.url("video"), "source": "speech"}
    for who in (alice, bob, alice):
        async with speaking.session.post(speaking.url + "/transcribe", json=body, headers=who) as response:
            last = (await response.text()).splitlines()[-1]
            assert '"type":"end"' in last
    heard_ms = round(float(last.partition('"duration":')[2].partition(",")[0]) * 1000)
    assert (await speaking.gateway.usage.used("alice")).audio_ms == heard_ms
    assert (await speaking.gateway.usage.used("bob")).audio_ms == 0


async def test_who_shares_a_transcript_does_not_name_it_and_leaves_it_to_the_others(front: Front) -> None:
    alice, bob = await key(front, "alice"), await key(front, "bob")
    path = f"/transcripts/{await transcribed(front, alice)}"
    await transcribed(front, bob)
    for _ in range(2):  # in memory, and as its row has it
        answer = await asked(front, "PATCH", path, body={"title": "his"}, **sent(bob))
        assert code(answer) == (403, "FORBIDDEN")
        assert (await asked(front, "PATCH", path, body={"title": "hers"}, **sent(alice)))[0] == 200
        await front.gateway.writer.close()
        there = front.gateway.transcripts.by_id(path.rpartition("/")[2])
        if there is not None:
            front.gateway.transcripts.remove(there)
    assert (await asked(front, "DELETE", path, **sent(bob)))[0] == 204
    assert (await asked(front, "GET", path, **sent(alice)))[1]["title"] == "hers"


async def test_one_that_several_wait_for_is_not_cancelled_by_one(front: Front) -> None:
    alice = await key(front, "alice")
    script = Script(front.gateway.transcripts)
    script.transcript.owners += ["alice", "anyone"]
    script.say(INFO)
    await script.have(1)
    for headers in (sent(alice), {}):
        answer = await asked(front, "PATCH", script.path, body={"state": "cancelled"}, **headers)
        assert code(answer) == (403, "FORBIDDEN")
    assert script.transcript.running
    assert (await asked(front, "PATCH", script.path, body={"state": "cancelled"}, **sent(OPERATOR)))[0] == 200
