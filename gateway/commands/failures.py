"""What went wrong, in a line that a person understands; the stable code is its last word. Pure."""

from clipwire import ClipwireError, Cut, Malformed, Refused, TranscriptFailed, Unreachable

from gateway.errors import GatewayError

CODES = {Unreachable: "UNREACHABLE", Cut: "CUT", Malformed: "MALFORMED"}  # of what no gateway has told


def told(failure: Exception) -> str:
    """The line for a failure."""
    match failure:
        case Refused():
            return _refused(failure)
        case TranscriptFailed() | GatewayError():
            return f"{failure.message} ({failure.code})"
        case Unreachable():
            return f"No gateway answers: {failure} (UNREACHABLE)"
        case ClipwireError():
            return f"{_sentence(str(failure))} ({CODES[type(failure)]})"
        case OSError():
            return f"{failure.strerror or failure}" + (f": {failure.filename}" if failure.filename else "")
        case _:
            raise failure


def _refused(refusal: Refused) -> str:
    text = _sentence(refusal.message)
    if refusal.retry_after_s is not None:
        text += f" Come again in {refusal.retry_after_s} s."
    if refusal.status >= 500 and refusal.request_id is not None:
        text += f" The request was {refusal.request_id}."
    return f"{text} ({refusal.code or f'HTTP {refusal.status}'})"


def _sentence(text: str) -> str:
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
