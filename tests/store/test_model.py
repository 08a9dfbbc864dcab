"""Codes and holds against a model of them that a child could check, in any order of events."""

import asyncio
import os
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any, Literal

import pytest
import uvloop
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from msgspec import UNSET

from gateway.errors import (
    CodeExpired,
    CodeHeld,
    CodeRevoked,
    CodeUnknown,
    CodeUsed,
    CreditTooSmall,
    GatewayError,
    HoldLost,
    NotFound,
)
from gateway.store.codes import Change, Codes, Credit, Issued
from gateway.store.database import Database
from gateway.store.holds import FORGIVEN_MS, Hold, Holds
from gateway.store.stored import Draft, new_id
from gateway.store.transcripts import Transcripts
from tests.store.making import lapse, said
from tests.wire.sampling import SAMPLE

SOAK = "CLIPWIRE_SOAK" in os.environ
EXAMPLES, STEPS = (500, 60) if SOAK else (30, 40)
PHASES = [Phase.generate, Phase.shrink] if SOAK else [Phase.generate]  # to shrink takes minutes

CODES_MAX = 2  # at once: few, so that much happens to each

WORTHS_S = (1, 60)
SECONDS = st.sampled_from(WORTHS_S)
MS = st.sampled_from([500, *(worth_s * 1000 + FORGIVEN_MS + more for worth_s in WORTHS_S for more in (0, 1))])
PAST, FUTURE = (datetime(year, 1, 1, tzinfo=UTC) for year in (2000, 3000))
CHANGES = st.one_of(
    st.sampled_from([None, PAST, FUTURE]).map(lambda at: Change(expires_at=at)),
    st.booleans().map(lambda revoked: Change(revoked=revoked)),
    SECONDS.map(lambda seconds: Change(seconds=seconds)),
)

State = Literal["active", "held", "used", "revoked", "expired"]


class Model:
    """A code as it ought to be."""

    def __init__(self, ms: int) -> None:
        self.ms = ms
        self.expired = False
        self.revoked = False
        self.hold: str | None = None
        self.lapsed = False
        self.price: int | None = None
        self.transcript: str | None = None

    @property
    def state(self) -> State:
        if self.transcript is not None:
            return "used"
        if self.revoked:
            return "revoked"
        if self.hold is not None and not self.lapsed:
            return "held"
        return "expired" if self.expired else "active"

    @property
    def credit(self) -> Credit:
        price_s = (self.ms if self.price is None else self.price) / 1000
        return Credit(
            credit_s=self.ms / 1000 if self.state == "active" else 0,
            held_s=price_s if self.state == "held" else 0,
            used_s=price_s if self.state == "used" else 0,
            state=self.state,
        )

    def free(self) -> None:
        self.hold, self.lapsed, self.price = None, False, None


class Machine(RuleBasedStateMachine):
    """What may happen to codes, done to both."""

    codes = Bundle("codes")
    holds = Bundle("holds")

    def __init__(self, runner: asyncio.Runner, database: Database) -> None:
        super().__init__()
        self.runner = runner
        self.database = database
        self.real = Codes(database)
        self.real_holds = Holds(database)
        self.models: dict[str, Model] = {}  # codes that are there, by id

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    @property
    def held(self) -> bool:
        """Whether there is a hold that time could end."""
        return any(model.hold is not None and model.transcript is None for model in self.models.values())

    def refused(self, work: Coroutine[Any, Any, Any], kind: type[GatewayError]) -> None:
        with pytest.raises(kind) as caught:
            self.run(work)
        assert type(caught.value) is kind

    @initialize(target=codes, seconds=SECONDS)
    def first(self, seconds: float) -> Issued:
        return self.made(seconds)

    @precondition(lambda self: len(self.models) < CODES_MAX)
    @rule(target=codes, seconds=SECONDS)
    def issue(self, seconds: float) -> Issued:
        return self.made(seconds)

    def made(self, seconds: float) -> Issued:
        made: tuple[Issued] = self.run(self.real.issue(1, seconds=seconds))
        self.models[made[0].id] = Model(round(seconds * 1000))
        return made[0]

    @rule(target=holds, code=codes)
    def hold(self, code: Issued) -> Any:
        model, work = self.models.get(code.id), self.real_holds.hold(code.code)
        kinds: dict[str, type[GatewayError]] = {
            "used": CodeUsed, "revoked": CodeRevoked, "held": CodeHeld, "expired": CodeExpired,
        }  # fmt: skip
        if model is None or model.state != "active":
            self.refused(work, CodeUnknown if model is None else kinds[model.state])
            return multiple()
        hold = self.run(work)
        assert hold.worth_ms == model.ms
        model.free()
        model.hold = hold.id
        return hold

    def lost(self, hold: Hold) -> type[GatewayError] | None:
        """What anything done with a hold meets; None: it still is one."""
        model = self.models.get(hold.code_id)
        if model is None:
            return CodeUnknown
        if model.state == "used":
            return CodeUsed
        if model.hold == hold.id:
            return None
        return CodeRevoked if model.revoked else HoldLost

    @rule(hold=holds, ms=MS)
    def price(self, hold: Hold, ms: int) -> None:
        work = self.real_holds.price(hold, ms)
        if (kind := self.lost(hold)) is not None:
            self.refused(work, kind)
            return
        model = self.models[hold.code_id]
        if ms > model.ms + FORGIVEN_MS:
            self.refused(work, CreditTooSmall)
            return
        model.price = min(ms, model.ms)
        assert self.run(work) == model.price

    @rule(hold=holds)
    def renew(self, hold: Hold) -> None:
        if (kind := self.lost(hold)) is not None:
            self.refused(self.real_holds.renew(hold), kind)
            return
        assert self.run(self.real_holds.renew(hold)).id == hold.id
        self.models[hold.code_id].lapsed = False

    @rule(hold=holds)
    def post(self, hold: Hold) -> None:
        id_, kind = new_id(), self.lost(hold)
        if kind is not None:
            self.refused(self._post(hold, id_), kind)
            self.refused(Transcripts(self.database).read(id_), NotFound)
            return
        model = self.models[hold.code_id]
        model.price = model.ms if model.price is None else model.price
        model.transcript = id_
        assert self.run(self._post(hold, id_)) == model.price
        assert self.run(self._post(hold, id_)) == model.price  # tried again
        assert self.run(Transcripts(self.database).read(id_)).state == "COMPLETE"

    async def _post(self, hold: Hold, id_: str) -> int:
        async with self.database.transaction() as tx:
            await Transcripts(self.database).save(tx, Draft(id_), said("words"))
            return await self.real_holds.post(tx, hold, id_)

    @rule(hold=holds)
    def void(self, hold: Hold) -> None:
        held = self.lost(hold) is None
        assert self.run(self.real_holds.void(hold)) is held
        if held:
            self.models[hold.code_id].free()

    @precondition(lambda self: self.held)
    @rule()
    def time_goes_by(self) -> None:
        self.run(lapse(self.database))
        for model in self.models.values():
            model.lapsed = model.hold is not None

    @precondition(lambda self: self.held)
    @rule()
    def expire(self) -> None:
        over = [model for model in self.models.values() if model.lapsed and model.transcript is None]
        assert self.run(self.real_holds.expire()) == len(over)
        for model in over:
            model.free()

    @rule(code=codes, change=CHANGES)
    def patch(self, code: Issued, change: Change) -> None:
        model = self.models.get(code.id)
        if model is None or model.state == "used":
            self.refused(self.real.patch(code.id, change), NotFound if model is None else CodeUsed)
            return
        self.run(self.real.patch(code.id, change))
        if change.seconds is not UNSET:
            model.ms = round(change.seconds * 1000)
        if change.expires_at is not UNSET:
            model.expired = change.expires_at == PAST
        if change.revoked is not UNSET:
            model.revoked = change.revoked
        if model.revoked:
            model.free()

    @precondition(lambda self: len(self.models) == CODES_MAX)
    @rule(code=consumes(codes))
    def delete(self, code: Issued) -> None:
        if self.models.pop(code.id, None) is None:
            self.refused(self.real.delete(code.id), NotFound)
        else:
            self.run(self.real.delete(code.id))

    @invariant()
    def alike(self) -> None:
        found = {one.id: one for one in self.run(self.real.page(limit=200)).items}
        assert found.keys() == self.models.keys()
        for id_, model in self.models.items():
            assert found[id_].credit == model.credit

    def teardown(self) -> None:
        for id_ in self.models:
            self.run(self.real.delete(id_))


@pytest.mark.soak
def test_codes_are_as_their_model_in_any_order_of_events(url: str) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        database = Database(url)
        run_state_machine_as_test(  # type: ignore[no-untyped-call]
            lambda: Machine(runner, database),
            settings=settings(SAMPLE, max_examples=EXAMPLES, stateful_step_count=STEPS, phases=PHASES),
        )
        runner.run(database.close())
