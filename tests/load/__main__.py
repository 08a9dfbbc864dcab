"""`python -m tests.load [--seconds 480] [--seed 1]`: a gateway under all kinds of calls, and what is left."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

import uvloop

from tests.load.run import Load, run


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__)
    arguments.add_argument(
        "--seconds", type=float, default=480, help="of load; starting and resting are more"
    )
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--callers", type=int, default=12, help="at once")
    arguments.add_argument("--workers", type=int, default=1, help="speech workers")
    given = arguments.parse_args()
    load = Load(given.seconds, given.seed, given.callers, given.workers)
    with (
        tempfile.TemporaryDirectory(prefix="load-") as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        found = runner.run(run(load, Path(folder)))
    title = f"{load.seconds:.0f} s of load, {load.callers} callers at once, seed {load.seed}"
    print(found.tally.table(title, found.leaks))
    for fault in found.faults:
        print(f"fault: {fault}")
    return 1 if found.faults else 0


if __name__ == "__main__":
    sys.exit(main())
