"""Traces arrive at a collector, whole, across processes, and with nothing in them that is not ours."""

import asyncio
import subprocess
import sys
from pathlib import Path

from gateway.errors import UpstreamFailed
from gateway.tracing import OFF, Tracing
from tests.collector import collecting
from tests.web.conftest import Front, Start, start, until

__all__ = ["start"]  # a fixture
ROOT = Path(__file__).parents[1]
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_a_transcript_is_one_trace_from_the_caller_to_the_worker(
    start: Start, data_dir: Path, base_model: Path
) -> None:
    async with collecting() as collector:
        front: Front = await start(data_dir=data_dir, model="base", workers=1, otlp_endpoint=collector.url)
        await until(lambda: front.gateway.ready, 60)
        wish = {"url": front.origin.url("speech"), "source": "speech"}
        async with front.session.post(
            front.url + "/transcribe", json=wish, headers={"traceparent": PARENT}
        ) as response:
            assert '"end"' in await response.text()
        await until(lambda: bool(collector.named("window")) and bool(collector.named("POST /transcribe")), 20)
        names = ("POST /transcribe", "extraction", "origin read", "decode", "window")
        traces = {span.trace_id.hex() for name in names for span in collector.named(name)}
        assert traces == {PARENT.split("-")[1]}
        assert all(collector.named(name) for name in names)
        (request,) = collector.named("POST /transcribe")
        assert request.parent_span_id.hex() == PARENT.split("-")[2]
        assert collector.named("extraction")[0].parent_span_id == request.span_id
        assert all(span.parent_span_id == request.span_id for span in collector.named("window"))
        assert {role for role, span in collector.spans if span.name == "window"} == {"speech worker"}
        assert all(span.end_time_unix_nano >= span.start_time_unix_nano for _, span in collector.spans)
        assert b"tiktok" not in collector.raw
        assert front.origin.url("speech").encode() not in collector.raw


async def test_what_failed_is_told_by_its_code_and_not_by_its_words() -> None:
    async with collecting() as collector:
        tracing = Tracing(collector.url)
        try:
            with tracing.span("origin read"):
                raise UpstreamFailed("of https://www.tiktok.com/@somebody/video/1")
        except UpstreamFailed:
            pass
        await asyncio.to_thread(tracing.close)
        (span,) = collector.named("origin read")
        assert {one.key: one.value.string_value for one in span.attributes} == {
            "error.type": "UPSTREAM_FAILED"
        }
        assert b"somebody" not in collector.raw


async def test_spans_lie_below_each_other_as_work_does() -> None:
    async with collecting() as collector:
        tracing = Tracing(collector.url)
        with tracing.span("outer"):
            here = tracing.here()
            inner = tracing.begin("inner")
            with tracing.span("beside", alone=True):
                assert tracing.here() == here
            inner.end()
        with tracing.span("far", of=here):
            pass
        assert tracing.here() is None
        with tracing.span("odd", of={"traceparent": "nonsense"}):
            pass
        await asyncio.to_thread(tracing.close)
        (outer,) = collector.named("outer")
        for name in ("inner", "beside", "far"):
            assert [span.parent_span_id for span in collector.named(name)] == [outer.span_id]
        assert collector.named("odd")[0].parent_span_id == b""


async def test_a_collector_that_is_away_keeps_nobody_waiting(unused_tcp_port: int) -> None:
    tracing = Tracing(f"http://127.0.0.1:{unused_tcp_port}")
    with tracing.span("work"):
        pass
    async with asyncio.timeout(30):
        await asyncio.to_thread(tracing.close)


def test_without_a_collector_there_is_nothing_to_pay() -> None:
    assert not OFF.on
    assert OFF.span("a") is OFF.span("b", of={}, alone=True)
    assert OFF.begin("a") is OFF.begin("b")
    assert OFF.here() is None
    with OFF.span("a") as span:
        span.say(status=200)


def test_no_extra_is_imported_without_its_setting(tmp_path: Path) -> None:
    """The base install has none of them."""
    code = (
        "import sys; import gateway.__main__, gateway.web.server, gateway.check.run, gateway.speech.worker;"
        "print([one for one in ('opentelemetry', 'sentry_sdk', 'google.cloud', 'google.auth', 'redis',"
        " 'openai') if one in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "[]", done.stderr
