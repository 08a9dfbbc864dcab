"""The headers that sign a call of TTTranscribe's API. Pure."""

import hashlib
import hmac


def signed(key: str, secret: str, body: bytes, timestamp_ms: int) -> dict[str, str]:
    """The headers for a body that is sent as these bytes."""
    # these words are fixed, wherever the server is mounted
    said = b"POST\n/api/transcribe\n%s\n%d" % (body, timestamp_ms)
    signature = hmac.new(secret.encode(), said, hashlib.sha256).hexdigest()
    return {"X-API-Key": key, "X-Timestamp": str(timestamp_ms), "X-Signature": signature}
