"""What a gateway that is served tells others: Sentry and Google Cloud; and its own lines."""

import asyncio
import json
import logging
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway import log
from gateway.cloudlog import CloudLog
from gateway.errors import NotSetUp
from gateway.sentry import Sentry
from tests.collector import Collector, collecting
from tests.serving import serving

ROOT = Path(__file__).parents[1]
POST = "https://www.tiktok.com/@somebody/video/7400000000000000001"


def dsn(collector: Collector) -> str:
    return collector.url.replace("http://", "http://key@") + "/1"


def credentials(folder: Path, collector: Collector) -> Path:
    """A service account's file, as Google gives them out, of our own Google."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    file = folder / "account.json"
    told = {
        "type": "service_account", "project_id": "a-project", "client_email": "gateway@a-project",
        "private_key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        "token_uri": collector.url + "/token",
    }  # fmt: skip
    file.write_text(json.dumps(told))
    return file


async def test_an_error_arrives_without_a_word_that_may_be_somebodys() -> None:
    async with collecting() as collector:
        sentry = Sentry(dsn(collector), version="1.2.3")
        secret = "a local's value"
        try:
            raise KeyError(f"{POST} {secret}")
        except KeyError as failure:
            sentry.tell("not foreseen", failure, "abc123")
        await asyncio.to_thread(sentry.close)
        (event,) = collector.errors
        (error,) = event["exception"]["values"]
        assert error["type"] == "KeyError"
        assert error["stacktrace"]["frames"][-1]["function"].startswith("test_an_error_arrives")
        assert event["tags"] == {"request_id": "abc123"}
        assert event["transaction"] == "not foreseen"
        assert event["release"] == "clipwire@1.2.3"
        assert not event.keys() & {"request", "user", "breadcrumbs", "extra", "modules", "contexts"}
        assert b"@somebody" not in collector.raw
        assert b"video/74" not in collector.raw
        assert socket.gethostname().encode() not in collector.raw
        assert not any(frame.get("vars") for frame in error["stacktrace"]["frames"])


async def test_a_sentry_that_is_away_keeps_nobody_waiting(unused_tcp_port: int) -> None:
    sentry = Sentry(f"http://key@127.0.0.1:{unused_tcp_port}/1", version="1")
    sentry.tell("not foreseen", KeyError(), None)
    async with asyncio.timeout(30):
        await asyncio.to_thread(sentry.close)


def test_what_is_no_address_of_a_project_is_refused() -> None:
    with pytest.raises(NotSetUp):
        Sentry("nonsense", version="1")


async def test_lines_arrive_at_google_with_their_severity(tmp_path: Path) -> None:
    async with collecting() as collector:
        made = await asyncio.to_thread(
            lambda: CloudLog("a-project", "a-log", credentials(tmp_path, collector), endpoint=collector.url)
        )
        for severity in ("INFO", "WARNING", "ERROR"):
            made.tell({"event": "request", "severity": severity, "status": 200, "odd": Path("/x")}, None)
        made.tell({"event": "theirs", "severity": "ERROR"}, "google.cloud.logging")
        made.tell({"event": "a library's", "severity": "ERROR"}, "asyncio")
        await asyncio.to_thread(made.close)
        # Google's own numbers for INFO, WARNING and ERROR
        assert [one["severity"] for one in collector.entries] == [200, 400, 500, 500]
        first = collector.entries[0]
        assert first["logName"] == "projects/a-project/logs/a-log"
        assert first["jsonPayload"] == {"event": "request", "severity": "INFO", "status": 200, "odd": "/x"}
        assert set(collector.bearers) == {"Bearer a token"}
        assert [one["jsonPayload"]["event"] for one in collector.entries][-1] == "a library's"


async def test_lines_that_do_not_get_away_are_bounded(tmp_path: Path) -> None:
    async with collecting() as collector:
        made = await asyncio.to_thread(
            lambda: CloudLog(
                "p", "l", credentials(tmp_path, collector), endpoint=collector.url, waiting_max=0
            )
        )
        made.tell({"event": "one", "severity": "INFO"}, None)
        await asyncio.to_thread(made.close)
        assert made.dropped == 1
        assert collector.entries == []


def test_credentials_that_are_none_stop_the_start(tmp_path: Path) -> None:
    file = tmp_path / "account.json"
    for content in ("nonsense", "{}"):
        file.write_text(content)
        with pytest.raises(NotSetUp):
            CloudLog("p", "l", file)
    with pytest.raises(NotSetUp):
        CloudLog("p", "l", tmp_path / "none.json")


# a gateway that is served


@asynccontextmanager
async def telling(folder: Path, **env: str) -> AsyncIterator[tuple[str, Path]]:
    """The address of a gateway, and the file with its log."""
    said = folder / "said"
    with said.open("wb") as log_file:
        async with serving(folder, until="/live", env=env, stderr=log_file) as served:
            yield served.url, said


def lines(said: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in said.read_text().splitlines()]


async def test_google_gets_each_line_as_it_is_logged(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with collecting() as collector:
        file = credentials(tmp_path, collector)
        made = await asyncio.to_thread(lambda: CloudLog("p", "l", file, endpoint=collector.url))
        try:
            log.configure("info", severity=True, on_line=made.tell)
            structlog.get_logger().warning("one", request_id="abc", failure=KeyError("x"))
            logging.getLogger("asyncio").error("another")
        finally:
            structlog.reset_defaults()
        await asyncio.to_thread(made.close)
        here = [json.loads(line) for line in capfd.readouterr().err.splitlines() if "severity" in line]
        assert [one["event"] for one in here] == ["one", "another"]
        assert [one["jsonPayload"] for one in collector.entries] == here


async def test_a_google_that_is_away_keeps_nobody_from_being_served(
    tmp_path: Path, unused_tcp_port: int
) -> None:
    async with collecting() as collector:
        file = await asyncio.to_thread(credentials, tmp_path, collector)
        away = f"http://127.0.0.1:{unused_tcp_port}"
        env = {"GCP_PROJECT_ID": "a", "GOOGLE_APPLICATION_CREDENTIALS": str(file), "HTTPS_PROXY": away}
        async with (
            telling(tmp_path, **env) as (url, said),
            aiohttp.ClientSession() as session,
            session.get(url + "/live") as response,
        ):
            assert response.status == 200
    found = lines(said)
    assert all(line["severity"] == line["level"].upper() for line in found)
    assert sum(line["event"] == "lines do not arrive at Google Cloud" for line in found) == 1


@pytest.mark.parametrize(
    ("setting", "value", "package", "extra"),
    [
        ("SENTRY_DSN", "http://key@127.0.0.1:1/1", "sentry_sdk", "sentry"),
        ("GCP_PROJECT_ID", "a-project", "google", "google"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1", "opentelemetry", "telemetry"),
    ],
)
def test_a_setting_without_its_package_stops_the_start(
    tmp_path: Path, setting: str, value: str, package: str, extra: str
) -> None:
    code = f"import sys; sys.modules[{package!r}] = None; import gateway.__main__ as one; one.app(['serve'])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60,
        env={
            "PYTHONPATH": str(ROOT), "GATEWAY_DATA_DIR": str(tmp_path / "data"), "GATEWAY_PORT": "0",
            setting: value,
        },
    )  # fmt: skip
    assert done.returncode == 1
    assert f"pip install clipwire[{extra}]" in done.stderr
    assert "Traceback" not in done.stderr


# its own lines


async def test_one_line_for_each_request_without_what_is_not_the_operators(tmp_path: Path) -> None:
    async with telling(tmp_path) as (url, said), aiohttp.ClientSession() as session:
        async with session.get(url + "/transcripts/an-id?key=a-secret") as response:
            id_ = response.headers["X-Request-Id"]
        async with session.post(url + "/transcribe?a=b", json={"url": POST}) as response:
            await response.read()
    (line,) = [one for one in lines(said) if one["event"] == "request" and one["request_id"] == id_]
    assert line | {"ms": 0, "time": "", "bytes": 0} == {
        "event": "request", "level": "info", "time": "", "request_id": id_, "method": "GET",
        "path": "/transcripts/{id}", "dialect": "native", "account": None, "address": "127.0.0.1",
        "status": 404, "bytes": 0, "ms": 0, "end": "NOT_FOUND",
    }  # fmt: skip
    text = said.read_text()
    assert "a-secret" not in text
    assert "somebody" not in text


async def test_an_unforeseen_error_is_told_and_a_foreseen_one_is_not(
    capfd: pytest.CaptureFixture[str],
) -> None:
    told: list[tuple[str, str, str | None]] = []
    try:
        log.configure("info", on_failure=lambda what, failure, id_: told.append((what, repr(failure), id_)))
        logger = structlog.get_logger()
        structlog.contextvars.bind_contextvars(request_id="abc")
        logger.error("not foreseen", exc_info=KeyError("x"))
        logger.error("the database is away", reason="gone")
        assert told == [("not foreseen", "KeyError('x')", "abc")]
    finally:
        structlog.contextvars.clear_contextvars()
        structlog.reset_defaults()
