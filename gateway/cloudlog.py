"""The log to Google Cloud as well, where a project is set; the only file that knows its library.

Always: a line waits for nobody: a thread sends it; where too many wait, the newest is dropped here, and
is on standard error all the same.
"""

import io
import logging
import time
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import structlog

from gateway.errors import NotSetUp

WAITING_MAX = 10_000  # lines; some 5 MB
CLOSE_S = 5.0
TROUBLE_S = 300.0  # between two lines that say that lines do not arrive
# theirs would be sent by what failed to send
OWN = ("google", "urllib3", "requests")
_SENDER = "google.cloud.logging_v2.handlers.transports.background_thread"
SCOPE = "https://www.googleapis.com/auth/logging.write"

log = structlog.get_logger()


class CloudLog:
    """Lines to the log `name` of a project. `credentials_file` None: as the machine has them."""

    def __init__(
        self,
        project: str,
        name: str,
        credentials_file: Path | None,
        *,
        endpoint: str | None = None,
        waiting_max: int = WAITING_MAX,
    ) -> None:
        try:
            import google.auth
            from google.auth.exceptions import GoogleAuthError
            from google.cloud.logging_v2 import Client
            from google.cloud.logging_v2.handlers.transports import BackgroundThreadTransport
        except ModuleNotFoundError:
            raise NotSetUp("GCP_PROJECT_ID is set: pip install clipwire[google]") from None
        try:
            credentials, _ = (
                google.auth.default(scopes=[SCOPE])
                if credentials_file is None
                else google.auth.load_credentials_from_file(str(credentials_file), scopes=[SCOPE])
            )
        except (GoogleAuthError, ValueError):
            raise NotSetUp("GOOGLE_APPLICATION_CREDENTIALS are not to be had or not usable.") from None
        quiet = logging.getLogger(_SENDER)
        quiet.addHandler(_Trouble())
        quiet.propagate = False  # it logs a traceback for each batch that it cannot deliver
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # and this each of its tries
        client = Client(
            project=project,
            credentials=credentials,
            client_options=None if endpoint is None else {"api_endpoint": endpoint},
            _use_grpc=False,  # gRPC's threads and our forks do not go together
        )
        self._transport = BackgroundThreadTransport(client, name, grace_period=CLOSE_S, batch_size=200)
        self._waiting_max = waiting_max
        self.dropped = 0

    def tell(self, line: dict[str, Any], logger: str | None) -> None:
        """Takes a line of the log."""
        if logger is not None and logger.startswith(OWN):
            return
        if self._transport.worker._queue.qsize() >= self._waiting_max:
            self.dropped += 1
            return
        record = logging.makeLogRecord(
            {
                "name": logger or "clipwire",
                "levelno": getattr(logging, line["severity"]),
                "created": time.time(),
            }
        )
        self._transport.send(record, {name: _plain(value) for name, value in line.items()})

    def close(self) -> None:
        """Sends what is left, for some seconds at the most. Blocks."""
        with redirect_stderr(io.StringIO()):  # where it would print, and we have lines of JSON
            self._transport.close()


class _Trouble(logging.Handler):
    """Says now and then that lines do not arrive."""

    def __init__(self) -> None:
        super().__init__()
        self._next = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < logging.ERROR or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + TROUBLE_S
        reason = record.exc_info[0] if record.exc_info else None
        log.warning("lines do not arrive at Google Cloud", reason=reason.__name__ if reason else None)


def _plain(value: Any) -> Any:
    """As protobuf's structs take it."""
    return value if value is None or isinstance(value, str | int | float | bool | dict | list) else str(value)
