"""The way through a gateway: each step tries one promise, as a caller would.

Always: a step ends in findings, whatever the server does; what was made on the way is removed.
"""

import asyncio
import hashlib
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import msgspec

from gateway.check.finding import Finding, fails, skipped, works
from gateway.check.sound import tone
from gateway.check.visit import Answer, Broken, Unreached, Visit
from gateway.wire import multipart
from gateway.wire.events import End, Event, Failed, Info, Segment, parse, text_of

SOUND_S = 3.0
POLL_S = 0.25
JOB_S = 120.0
STORED_MAX = 50  # transcripts that are read over the API
# of a JSON body: over the usual bound, and in the sockets at once; then more than anybody's
LARGE_BYTES = (96 << 10, 8 << 20)
SITE = {
    "changed": "Install a newer yt-dlp and send SIGHUP.",
    "blocked": "Set GATEWAY_PROXY_URL, or another proxy.",
    "unreachable": "Look at the way out to the site, and at the proxy.",
}

Texts = Callable[[], Awaitable[tuple[int, list[str]]]]  # how many were looked at, ids that do not fit


class Walk:
    """One walk. `url` is a post to try, `texts` how stored transcripts are looked at without the API."""

    def __init__(
        self, visit: Visit, *, url: str | None, ready_s: float = 5.0, texts: Texts | None = None
    ) -> None:
        self._visit = visit
        self._url = url
        self._ready_s = ready_s
        self._texts = texts
        self._speech = False
        self._made: list[str] = []  # transcripts
        self._sound = tone(SOUND_S, hertz=300 + secrets.randbelow(200_000) / 1000)  # nobody heard it before

    async def findings(self) -> list[Finding]:
        """What each step finds. Where nobody answers at all, the first says so and is the last."""
        try:
            found = [await self._alive()]
        except Unreached as failure:
            return [skipped("health", str(failure), "Is the address right, and does the gateway run?")]
        steps: dict[str, Callable[[], Awaitable[list[Finding]]]] = {
            "readiness": self._ready,
            "keys": self._keys,
            "limits": self._limits,
            "download": self._download,
            "transcript": self._transcript,
            "cache": self._cache,
            "job": self._job,
            "stored texts": self._stored,
        }
        for what, step in steps.items():
            try:
                found += await step()
            except Unreached as failure:
                found.append(fails(what, str(failure), "See the gateway's log."))
            except (LookupError, TypeError, ValueError, AttributeError) as failure:
                # an answer that is JSON, and not ours
                kind = type(failure).__name__
                found.append(fails(what, f"not understood: {kind}", "Is it a gateway of this version?"))
        await self._clear()
        return found

    async def _clear(self) -> None:
        """Removes the transcripts that were made."""
        with suppress(Unreached):
            for id_ in self._made:
                await self._visit.ask("DELETE", f"/transcripts/{id_}")

    async def _alive(self) -> Finding:
        answer = await self._visit.ask("GET", "/live")
        if answer.status != 200 or answer.json() != {"status": "ok"}:
            raise Unreached(f"{answer.code} is not the answer of a gateway")
        version = (await self._visit.ask("GET", "/")).json().get("version", "unknown")
        return works("health", f"version {version} answers in {_ms(answer)}")

    async def _ready(self) -> list[Finding]:
        until = time.monotonic() + self._ready_s
        while True:
            told = (await self._visit.ask("GET", "/ready")).json()
            if told["status"] == "ok" or time.monotonic() > until:
                break
            await asyncio.sleep(POLL_S)
        self._speech = told["status"] == "ok"
        database, site = told.get("database"), (told.get("site") or {}).get("state", "unknown")
        return [
            works("speech", "a transcript would be accepted")
            if self._speech
            else fails("speech", str(told.get("speech")), "Wait for the model, or see the log for why not."),
            works("database", "answers")
            if database == "ok"
            else fails("database", str(database), "Look at DATABASE_URL and at what it leads to."),
            works("site", "its canary post is read")
            if site == "ok"
            else fails("site", site, SITE[site])
            if site in SITE
            else skipped("site", "no canary post is read", "Set GATEWAY_CANARY_URL to a post that stays."),
        ]

    async def _keys(self) -> list[Finding]:
        wrong = await self._visit.ask("GET", "/transcripts?limit=1", key=secrets.token_urlsafe(18))
        found = [
            works("keys", f"a made-up key is refused ({wrong.code})")
            if wrong.status in (401, 403)
            else skipped("keys", "none are set: who reaches it may call", "Set GATEWAY_ADMIN_KEY.")
            if wrong.status == 200
            else fails("keys", f"a made-up key gets {wrong.code}", "See the log.")
        ]
        if self._visit.key is not None:
            right = await self._visit.ask("GET", "/transcripts?limit=1")
            found.append(
                works("key", "the key is accepted")
                if right.status == 200
                else fails(
                    "key", f"the key gets {right.code}", "Is it a key of this gateway, with its scopes?"
                )
            )
        return found

    async def _limits(self) -> list[Finding]:
        large = await self._large()
        inside = await self._visit.ask("POST", "/transcribe", json={"url": "http://127.0.0.1/"})
        nowhere = await self._visit.ask("GET", "/nothing-is-here")
        wrong = [
            f"{what}: {answer.code}"
            for what, answer, status in (
                ("a body that is too large", large, 413),
                ("an address that is not the site's", inside, 400),
                ("a path that is not there", nowhere, 404),
            )
            if answer is not None and answer.status != status
        ]
        if wrong:
            return [fails("limits", "; ".join(wrong), "Does a proxy before it change answers?")]
        left = inside.headers.get("RateLimit-Remaining")
        rate = f"; {left} of {inside.headers.get('RateLimit-Limit')} calls left" if left else ""
        return [works("limits", f"large bodies and foreign addresses are refused{rate}")]

    async def _large(self) -> Answer | None:
        """The answer to a body over the bound; None where it was refused before anybody could read why."""
        answer = None
        for size in LARGE_BYTES:
            try:
                answer = await self._visit.ask("POST", "/transcribe", json={"url": "x" * size})
            except Broken:
                return None
            if answer.status == 413:
                break
        return answer

    async def _download(self) -> list[Finding]:
        if self._url is None:
            return [skipped("download", "nothing is asked of the site", "Give a post: --url.")]
        answer = await self._downloaded()
        if answer.status != 200:
            return [fails("download", answer.code, _words(answer))]
        try:
            parts = _parts(answer)
        except ValueError as failure:
            return [fails("download", f"the answer is cut: {failure}", "See the log for what broke it.")]
        size = sum(len(part.body) for part in parts)
        found = [works("download", f"{len(parts)} parts, {size:,} bytes, closed, in {_ms(answer)}")]
        link = parts[0].headers.get("content-location")
        if link is not None:
            again = await self._visit.ask("GET", link)
            piece = await self._visit.ask("GET", link, headers={"Range": "bytes=0-99"})
            same = again.body == parts[0].body and piece.status == 206 and piece.body == parts[0].body[:100]
            found.append(
                works("link", "the same bytes again, and a range of them")
                if same
                else fails("link", f"other bytes: {again.code}, {piece.code}", "Does a proxy change them?")
            )
        return found

    async def _transcript(self) -> list[Finding]:
        if not self._speech:
            return [skipped("transcript", "speech is not ready")]
        answer, log = await self._heard()
        return [_told("transcript", answer, log)]

    async def _cache(self) -> list[Finding]:
        found = []
        if self._url is not None:
            wish = {"url": self._url, "content_type": "ORIGINAL"}
            plan = await self._visit.ask("POST", "/download/plan", json=wish)
            kept = [part["cached"] for post in plan.json().get("posts", ()) for part in post["parts"]]
            again = await self._downloaded()
            found.append(
                works("cache of media", f"{len(kept)} parts are kept; again in {_ms(again)}")
                if kept and all(kept)
                else fails("cache of media", "parts are not kept", "Look at GATEWAY_SPOOL_BYTES_MAX and _S.")
            )
        if self._speech:
            answer, log = await self._heard()
            told = _told("cache of transcripts", answer, log)
            found.append(
                works(told.what, f"the same sound again in {_ms(answer)}") if told.state == "works" else told
            )
        return found or [skipped("cache", "nothing was made that could be kept")]

    async def _job(self) -> list[Finding]:
        if not self._speech:
            return [skipped("job", "speech is not ready")]
        issued = await self._visit.ask("POST", "/codes", json={"count": 1, "seconds": 60})
        if issued.status in (401, 403):
            return [skipped("job", f"codes are issued by the operator only ({issued.code})", "Give --key.")]
        if issued.status != 201:
            return [fails("job", f"no code: {issued.code}", _words(issued))]
        (code,) = issued.json()["codes"]
        id_ = None
        try:
            headers = {"Content-Type": "audio/wav", "X-Auth-Code": code["code"]}
            begun = await self._visit.ask("POST", "/transcripts?wait=0", data=self._sound, headers=headers)
            if begun.status != 202:
                return [fails("job", f"not taken up: {begun.code}", _words(begun))]
            id_ = begun.json()["id"]
            state = await self._ended(id_)
            credit = (await self._visit.ask("GET", f"/codes/{code['id']}/credit")).json()["state"]
            if (state, credit) != ("complete", "used"):
                return [fails("job", f"it is {state}, and its code {credit}", "See the log for its id.")]
            return [works("job", "done behind the answer, and its code is spent")]
        finally:
            await self._visit.ask("DELETE", f"/codes/{code['id']}")
            if id_ is not None:
                await self._visit.ask("DELETE", f"/transcripts/{id_}")

    async def _stored(self) -> list[Finding]:
        if self._texts is not None:
            count, wrong = await self._texts()
        else:
            listed = await self._visit.ask("GET", f"/transcripts?limit={STORED_MAX}")
            if listed.status in (401, 403):
                return [skipped("stored texts", f"the list is not shown ({listed.code})", "Give --key.")]
            rows = [one for one in listed.json()["transcripts"] if one["state"] == "complete"]
            count, wrong = len(rows), [one["id"] for one in rows if not await self._intact(one)]
        if wrong:
            ids = ", ".join(wrong[:5])
            found = f"{len(wrong)} of {count} are not what was heard: {ids}"
            return [fails("stored texts", found, "Restore a backup.")]
        return [works("stored texts", f"{count} transcripts are what their hashes say")]

    async def _intact(self, row: dict[str, Any]) -> bool:
        answer = await self._visit.ask("GET", f"/transcripts/{row['id']}.json")
        if answer.status == 404:
            return True  # it was removed meanwhile
        segments = msgspec.convert(answer.json()["segments"], list[Segment])
        told: str = row["text_sha256"]
        return _hash(text_of(segments)) == told

    async def _downloaded(self) -> Answer:
        return await self._visit.ask("POST", "/download", json={"url": self._url, "content_type": "ORIGINAL"})

    async def _heard(self) -> tuple[Answer, list[Event]]:
        """The transcript of the sound, and its events."""
        answer = await self._visit.ask(
            "POST", "/transcribe", data=self._sound, headers={"Content-Type": "audio/wav"}
        )
        if answer.status != 200:
            return answer, []
        try:
            log = [parse(line) for line in answer.body.splitlines()]
        except msgspec.DecodeError as failure:
            raise Unreached(f"a line that is no event: {failure}") from None
        self._made.append(answer.headers["Transcript-Id"])
        return answer, log

    async def _ended(self, id_: str) -> str:
        """The state of a transcript once it does not run any more."""
        until = time.monotonic() + JOB_S
        while True:
            state: str = (await self._visit.ask("GET", f"/transcripts/{id_}")).json()["state"]
            if state != "running" or time.monotonic() > until:
                return state
            await asyncio.sleep(POLL_S)


def _told(what: str, answer: Answer, log: list[Event]) -> Finding:
    """Whether a transcript is as it says itself."""
    if answer.status != 200:
        return fails(what, answer.code, _words(answer))
    events = [event for event in log if isinstance(event, Info | Segment | End | Failed)]
    if not events or not isinstance(events[-1], End | Failed):
        return fails(what, "the answer ends without an end", "Does a proxy cut it?")
    end = events[-1]
    if isinstance(end, Failed):
        return fails(what, end.code, end.message)
    segments = [event for event in events if isinstance(event, Segment)]
    if not isinstance(events[0], Info) or len(segments) != end.segments:
        return fails(what, "events are missing", "Does a proxy change it?")
    if _hash(text_of(segments)) != end.text_sha256:
        return fails(what, "the text is not what its hash says", "Does a proxy change it?")
    if abs(end.duration - SOUND_S) > 0.5:
        return fails(what, f"{end.duration:g} s were heard of {SOUND_S:g}", "See the log.")
    return works(what, f"{end.duration:g} s of sound by {events[0].model}, whole, in {_ms(answer)}")


def _parts(answer: Answer) -> list[multipart.Received]:
    """The parts of a download. Raises ValueError for one that is cut."""
    _, _, boundary = answer.headers.get("Content-Type", "").partition("boundary=")
    if not boundary:
        raise ValueError("no boundary")
    return list(multipart.parts(answer.body, boundary.strip('"')))


def _words(answer: Answer) -> str:
    """What the server says itself."""
    told = msgspec.json.decode(answer.body) if answer.body[:1] == b"{" else {}
    error = told.get("error", told)
    return str(error.get("message") or error.get("detail") or "See the gateway's log.")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _ms(answer: Answer) -> str:
    return f"{answer.took_s * 1000:.0f} ms"
