"""`make bench`: the product against what it is measured by. `python -m tests.bench [--quick] [name ...]`.

Figures mean something within one run only, side by side; the machine is named with them.
"""

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench import machine
from tests.bench.arriving import arriving
from tests.bench.company import company, flat_speech
from tests.bench.effort import Effort
from tests.bench.extract import extract
from tests.bench.first_byte import first_byte
from tests.bench.flat import flat
from tests.bench.limits import limits
from tests.bench.nodes import nodes
from tests.bench.process import BenchFailed
from tests.bench.relay import relay
from tests.bench.replicas import replicas
from tests.bench.sizing import sizing
from tests.bench.slow import slow
from tests.bench.speech import speech
from tests.bench.table import Table


@dataclass(frozen=True)
class Bench:
    """A bench by name, and how long it may take."""

    run: Callable[[Effort, Path], Awaitable[list[Table]]]
    seconds_max: float


BENCHES = {
    "relay": Bench(relay, 200),
    "slow": Bench(slow, 150),
    "flat": Bench(flat, 120),
    "first_byte": Bench(first_byte, 60),
    "limits": Bench(limits, 60),
    "extract": Bench(extract, 200),
    "replicas": Bench(replicas, 300),
    "speech": Bench(speech, 240),
    "arriving": Bench(arriving, 90),
    "company": Bench(company, 240),
    "flat_speech": Bench(flat_speech, 400),
    "nodes": Bench(nodes, 600),
    "sizing": Bench(sizing, 300),
}


async def main(names: Sequence[str], effort: Effort) -> int:
    """Runs the named benches one after the other; 1 when one of them failed."""
    loop, own = asyncio.get_running_loop(), asyncio.current_task()
    assert own is not None
    loop.add_signal_handler(signal.SIGTERM, own.cancel)
    print(await asyncio.to_thread(machine.words), flush=True)
    failed = 0
    for name in names:
        bench, began = BENCHES[name], time.monotonic()
        try:
            with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as folder:
                async with asyncio.timeout(bench.seconds_max):
                    tables = await bench.run(effort, Path(folder))
        except BenchFailed as failure:
            failed = 1
            print(f"\n{name}: {failure}", flush=True)
            continue
        except TimeoutError:
            failed = 1
            print(f"\n{name}: not done within {bench.seconds_max:g} s", flush=True)
            continue
        for table in tables:
            print(f"\n{table}", flush=True)
        print(f"({name}: {time.monotonic() - began:.0f} s; load now {machine.busy()})", flush=True)
    return failed


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    arguments.add_argument(
        "names", nargs="*", choices=[[], *BENCHES], metavar="name", help=", ".join(BENCHES)
    )
    arguments.add_argument("--quick", action="store_true", help="only see whether it works")
    given = arguments.parse_args()
    try:
        sys.exit(asyncio.run(main(given.names or list(BENCHES), Effort(quick=given.quick))))
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(130)
