"""Structured logs: one JSON object a line on standard error, `request_id` on each line of a request."""

import logging
import sys
from collections.abc import Callable
from typing import Any

import orjson
import structlog

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "none": logging.CRITICAL,  # which nothing of ours is
}

# told of an error that nobody foresaw: what failed in our words, the error, the request's id
OnFailure = Callable[[str, BaseException, str | None], None]
# told of each line, and of the library that it is from; None: of ours
OnLine = Callable[[dict[str, Any], str | None], None]


def configure(
    level: str, *, severity: bool = False, on_failure: OnFailure | None = None, on_line: OnLine | None = None
) -> None:
    """Sends structlog's and the libraries' lines to standard error as JSON, and to who else is to know.

    With `severity`, lines have their level also as Google Cloud reads it.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    if severity:
        shared.append(_severe)
    if on_failure is not None:
        shared.append(_failures(on_failure))
    shared.append(structlog.processors.format_exc_info)
    if on_line is not None:
        shared.append(_lines(on_line))
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer(serializer=_json)],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(
                    serializer=lambda *args, **more: _json(*args, **more).decode()
                ),
            ],
        )
    )
    # aiohttp logs a traceback for each malformed request; what is ours is logged by the middleware
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    logging.basicConfig(handlers=[handler], level=max(LEVELS[level], logging.WARNING), force=True)


def _severe(logger: Any, method: str, event: Any) -> Any:
    event["severity"] = event["level"].upper()
    return event


def _failures(tell: OnFailure) -> Any:
    """An error of ours that is logged with its traceback is one that nobody foresaw."""

    def processor(logger: Any, method: str, event: Any) -> Any:
        failure = event.get("exc_info")
        if isinstance(failure, BaseException) and "_record" not in event:
            tell(str(event.get("event")), failure, event.get("request_id"))
        return event

    return processor


def _lines(tell: OnLine) -> Any:
    def processor(logger: Any, method: str, event: Any) -> Any:
        record = event.get("_record")
        line = {name: value for name, value in event.items() if not name.startswith("_")}
        tell(line, None if record is None else record.name)
        return event

    return processor


def _json(event: Any, **_: Any) -> bytes:
    return orjson.dumps(event, default=str)
