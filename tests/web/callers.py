"""Callers with keys, as a gateway meets them."""

import json
from typing import Any

from gateway.store.accounts import SAME, Change, Scope
from tests.web.conftest import Front

ADMIN = "the operator's own key"


async def key(front: Front, owner: str, *scopes: Scope, change: Change = SAME) -> dict[str, str]:
    """The header of a new key: for all but the operator's, or for these scopes."""
    made = await front.gateway.accounts.create(
        owner, scopes or ("download", "transcribe", "extract"), change=change
    )
    return {"X-API-Key": made.key}


async def asked(front: Front, method: str, path: str, *, body: Any = None, **headers: str) -> tuple[int, Any]:
    """The status and JSON of an answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with front.session.request(method, front.url + path, json=body, headers=named) as response:
        text = await response.text()
    return response.status, json.loads(text) if text.startswith("{") else text


def code(answer: tuple[int, Any]) -> tuple[int, Any]:
    """The status and the code of an error, in whichever dialect it is told."""
    status, body = answer
    if status < 400 or not isinstance(body, dict):
        return status, None
    return status, body["error"]["code"].upper() if "error" in body else body.get("code")
