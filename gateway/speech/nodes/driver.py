"""The gateway's driver of the cluster: a process that asks the replicas, told what by its stdin.

Always: it ends at once when its stdin does, and by itself when the cluster does not answer: the gateway
starts another one. Nothing but messages is written to what was its stdout.
"""

import argparse
import asyncio
import os
import queue
import random
import sys
import threading
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from gateway.speech.messages import bodies, framed
from gateway.speech.orders import Done, FromDriver, Full, Lost, Order, Plan, State, ToDriver, to_driver

if TYPE_CHECKING:
    from gateway.speech.nodes.deployment import Standing

STATE_S = 1.0
STATUS_S = 10.0  # the cluster's answer to how it stands; later, this driver is of no use
CROWD_S = 3.0  # other gateways may deploy the same


def main() -> None:
    """Connects, says how the cluster stands, and carries orders until stdin ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("plan")
    parser.add_argument("--known", help="the session that remembers whether it was deployed")
    wish = parser.parse_args()
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)

    told: queue.SimpleQueue[ToDriver] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(sys.stdin.buffer, told), daemon=True).start()

    from gateway.speech.nodes import deployment  # after stdout is out of the way

    try:
        with deployment.connected(wish.address) as session:
            plan = msgspec.json.decode(wish.plan, type=Plan)
            asyncio.run(Driver(plan, session, told, out).run(lost=wish.known not in (None, session)))
    except Exception as failure:
        traceback.print_exc()
        _write(out, State("", False, 0, 0, type(failure).__name__ + _first_line(failure)))
        os._exit(1)


class Driver:
    """Between the pipes and the cluster."""

    def __init__(self, plan: Plan, session: str, told: "queue.SimpleQueue[ToDriver]", out: BinaryIO) -> None:
        from gateway.speech.nodes import deployment

        self._deployment = deployment
        self._plan = plan
        self._session = session
        self._told = told
        self._out = out
        self._handle: Any = None  # whom windows are sent to, once there is somebody
        self._asking: dict[int, asyncio.Task[None]] = {}

    async def run(self, *, lost: bool) -> None:
        """Until the cluster does not answer. Where all was `lost` with a head, it is deployed again."""
        threading.Thread(target=self._listen, args=(asyncio.get_running_loop(),), daemon=True).start()
        deploying: asyncio.Future[None] | None = None
        while True:
            now = await self._standing()
            if now.deployed:
                lost = False  # whoever deployed it: what is removed from now on was meant to be
                if self._handle is None:
                    self._handle = self._deployment.handle(self._plan)
            trouble = now.trouble if now.deployed else "nothing is deployed: python -m gateway cluster deploy"
            self._say(State(self._session, now.deployed, now.replicas, now.wanted, trouble))
            if lost and not now.deployed and deploying is None:
                deploying = asyncio.ensure_future(self._deploy())
            elif deploying is not None and deploying.done():
                deploying.result()
                deploying = None
            await asyncio.sleep(STATE_S)

    async def _standing(self) -> "Standing":
        try:
            async with asyncio.timeout(STATUS_S):
                return await asyncio.to_thread(self._deployment.standing, self._plan)
        except TimeoutError:
            os._exit(1)  # at once: the thread that asks may never come back

    async def _deploy(self) -> None:
        await asyncio.sleep(random.uniform(0, CROWD_S))  # noqa: S311 - no secret
        if not (await self._standing()).deployed:  # another gateway may have been sooner
            await asyncio.to_thread(self._deployment.deploy, self._plan)

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            loop.call_soon_threadsafe(self._take, self._told.get())

    def _take(self, message: ToDriver) -> None:
        if isinstance(message, Order):
            asking = self._asking[message.number] = asyncio.ensure_future(self._ask(message))
            asking.add_done_callback(lambda _: self._asking.pop(message.number))
        elif message.number in self._asking:
            self._asking[message.number].cancel()

    async def _ask(self, order: Order) -> None:
        """Carries an order to a replica, and what it says back."""
        from ray.serve.exceptions import BackPressureError

        number, answer = order.number, None
        try:
            if self._handle is None:
                self._say(Lost(number, "nothing is deployed"))
                return
            answer = self._handle.remote(order)
            async for said in answer:
                self._say(said)
                if isinstance(said, Done):
                    return
            self._say(Lost(number, "the replica gave no answer"))
        except asyncio.CancelledError:
            if answer is not None:
                with suppress(Exception):
                    answer.cancel()
        except BackPressureError:
            self._say(Full(number))
        except Exception as failure:
            self._say(Lost(number, type(failure).__name__ + _first_line(failure)))

    def _say(self, message: FromDriver) -> None:
        _write(self._out, message)


def _write(out: BinaryIO, message: FromDriver) -> None:
    data = memoryview(framed(message))
    while data:
        data = data[out.write(data) :]


def _first_line(failure: Exception) -> str:
    lines = str(failure).strip().splitlines()
    return f": {lines[0][:200]}" if lines else ""


def _read(source: BinaryIO, told: "queue.SimpleQueue[ToDriver]") -> None:
    for body in bodies(source):
        told.put(to_driver.decode(body))
    os._exit(0)


if __name__ == "__main__":
    main()
