"""Accounts: who calls, and what each may do."""

from typing import Literal

import msgspec

from gateway.store.limits import Rate
from gateway.store.tables import ANYONE

Scope = Literal["download", "transcribe", "extract", "admin"]


class Account(msgspec.Struct, frozen=True):
    """Who calls, however that was shown."""

    id: str
    name: str
    scopes: frozenset[Scope]
    rate: Rate | None = None  # None: as the settings say


STRANGER = Account(ANYONE, ANYONE, frozenset())  # before the settings open anything
