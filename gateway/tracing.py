"""Traces by OpenTelemetry, where a collector is set; the only file that knows it.

Always: without a collector nothing of the library is imported, and a span is one shared object that does
nothing; a span has names and codes of ours, and nothing that a caller or the site sent.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

from gateway.errors import GatewayError, NotSetUp

EXPORT_S = 5  # for one batch of spans; a collector that is away costs no more than its spans
CLOSE_S = 3.0
DELAY_MS = 1000  # a worker may be ended at any time: what it did is sent soon
QUEUE_MAX = 2048  # spans that wait; more are dropped


class Span(Protocol):
    """Some work, while it lasts."""

    def say(self, **attributes: str | int | float | bool) -> None:
        """Puts down what is known of it."""

    def end(self) -> None:
        """It is over; told by who has it from `begin`."""


class _Nothing:
    def say(self, **attributes: str | int | float | bool) -> None:
        pass

    def end(self) -> None:
        pass


_NOTHING = _Nothing()
_NOTHING_OPEN = nullcontext(_NOTHING)


class Tracing:
    """Spans to the collector of `endpoint`, a base address; None: to nobody."""

    def __init__(self, endpoint: str | None = None, *, version: str = "", process: str = "gateway") -> None:
        self._provider: Any = None
        if endpoint is None:
            return
        try:
            from opentelemetry import context, trace
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ModuleNotFoundError:
            raise NotSetUp("OTEL_EXPORTER_OTLP_ENDPOINT is set: pip install clipwire[telemetry]") from None
        self._context, self._trace = context, trace
        named = Resource.create(
            {"service.name": "clipwire", "service.version": version, "process.role": process}
        )
        exporter = OTLPSpanExporter(endpoint.rstrip("/") + "/v1/traces", timeout=EXPORT_S)
        self._provider = TracerProvider(resource=named, shutdown_on_exit=False)
        self._provider.add_span_processor(
            BatchSpanProcessor(exporter, max_queue_size=QUEUE_MAX, schedule_delay_millis=DELAY_MS)
        )
        self._tracer = self._provider.get_tracer("clipwire")
        self._carrying = TraceContextTextMapPropagator()

    @property
    def on(self) -> bool:
        """Whether anybody is told."""
        return self._provider is not None

    def begin(self, name: str, *, of: Mapping[str, str] | None = None) -> Span:
        """Some work as a span, below the one that is open here, or below the one that `of` names."""
        return _NOTHING if self._provider is None else self._begun(name, of)

    def span(
        self, name: str, *, of: Mapping[str, str] | None = None, alone: bool = False
    ) -> AbstractContextManager[Span]:
        """The same while it is open; what begins meanwhile is below it in turn.

        Unless it is `alone`, as the work of a generator must be: that goes on in other contexts.
        """
        return _NOTHING_OPEN if self._provider is None else self._spanned(name, of, alone)

    def here(self) -> dict[str, str] | None:
        """The open span, as it is told to another process."""
        if self._provider is None:
            return None
        carrier: dict[str, str] = {}
        self._carrying.inject(carrier)
        return carrier or None

    def close(self) -> None:
        """Sends what is left, for a few seconds at the most. Blocks."""
        if self._provider is not None:
            # its own deadline is half a minute, for a collector that is away
            closing = threading.Thread(target=self._provider.shutdown, daemon=True)
            closing.start()
            closing.join(CLOSE_S)

    def _begun(self, name: str, of: Mapping[str, str] | None) -> "_Span":
        parent = self._carrying.extract(of) if of is not None else None
        return _Span(self._tracer.start_span(name, context=parent), self._trace.StatusCode.ERROR)

    @contextmanager
    def _spanned(self, name: str, of: Mapping[str, str] | None, alone: bool) -> Iterator["_Span"]:
        span = self._begun(name, of)
        token = None if alone else self._context.attach(self._trace.set_span_in_context(span.inner))
        try:
            yield span
        except BaseException as failure:
            span.fail(failure)
            raise
        finally:
            if token is not None:
                self._context.detach(token)
            span.end()


class _Span:
    def __init__(self, inner: Any, error: Any) -> None:
        self.inner = inner
        self._error = error

    def say(self, **attributes: str | int | float | bool) -> None:
        self.inner.set_attributes({f"clipwire.{name}": value for name, value in attributes.items()})

    def fail(self, failure: BaseException) -> None:
        """By its name: its text may have an address in it."""
        name = failure.code if isinstance(failure, GatewayError) else type(failure).__name__
        self.inner.set_attribute("error.type", name)
        if isinstance(failure, Exception):
            self.inner.set_status(self._error)

    def end(self) -> None:
        self.inner.end()


OFF = Tracing()
