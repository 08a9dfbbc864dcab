"""Errors that nobody foresaw, to Sentry, where its address is set; the only file that knows it.

Always: what is sent is the error's kind, the lines of our code that it passed, and the request's id: no
message, no value of a variable, nothing of the request.
"""

from typing import Any

from gateway.errors import NotSetUp

CLOSE_S = 2.0


class Sentry:
    """Errors to the project of an address (a DSN)."""

    def __init__(self, dsn: str, *, version: str) -> None:
        try:
            import sentry_sdk
            from sentry_sdk.utils import BadDsn, event_from_exception
        except ModuleNotFoundError:
            raise NotSetUp("SENTRY_DSN is set: pip install clipwire[sentry]") from None
        self._event_from = event_from_exception
        try:
            self._client = sentry_sdk.Client(
                dsn=dsn,
                release=f"clipwire@{version}",
                server_name="clipwire",  # a host's name is nobody's business
                default_integrations=False,  # they would take in arguments, requests and log lines
                auto_enabling_integrations=False,
                include_local_variables=False,
                max_request_body_size="never",
                max_breadcrumbs=0,
                auto_session_tracking=False,
                send_client_reports=False,
                before_send=_bare,
                shutdown_timeout=CLOSE_S,
            )
        except BadDsn:
            raise NotSetUp("SENTRY_DSN is not the address of a project.") from None

    def tell(self, what: str, failure: BaseException, request_id: str | None) -> None:
        """Sends an error behind the back of whoever met it."""
        event, hint = self._event_from(failure, client_options=self._client.options)
        event["logger"] = "clipwire"
        event["transaction"] = what  # our own words for what failed
        if request_id is not None:
            event["tags"] = {"request_id": request_id}
        self._client.capture_event(event, hint=hint)

    def close(self) -> None:
        """Sends what is left, for a moment at the most. Blocks."""
        self._client.close(timeout=CLOSE_S)


_SENT = frozenset({
    "event_id", "timestamp", "platform", "level", "release", "environment", "server_name", "sdk",
    "logger", "transaction", "tags", "exception",
})  # fmt: skip


def _bare(event: Any, hint: Any) -> Any:
    """The event with what we mean to tell, and no words that something else put into an error."""
    for one in (event.get("exception") or {}).get("values") or ():
        one["value"] = ""
        for frame in (one.get("stacktrace") or {}).get("frames") or ():
            frame.pop("vars", None)
    return {name: value for name, value in event.items() if name in _SENT}
