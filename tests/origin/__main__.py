"""Runs the origin standing: `python -m tests.origin [--port N] [--folder DIR]`."""

import argparse
import asyncio
import tempfile
from pathlib import Path

from tests.origin.origin import Origin


async def main(folder: Path, port: int) -> None:
    async with Origin(folder, port=port) as origin:
        print(f"proxy    {origin.proxy_url}\nCA file  {origin.ca_file}\n")
        for name in origin.scenarios:
            print(f"{name:18} {origin.url(name)}")
        print("\nCtrl-C ends it.", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(prog="python -m tests.origin", description=__doc__)
    arguments.add_argument("--port", type=int, default=0, help="port of the proxy; 0 takes a free one")
    arguments.add_argument("--folder", type=Path, default=None, help="where the CA and made clips are kept")
    given = arguments.parse_args()
    try:
        asyncio.run(main(given.folder or Path(tempfile.mkdtemp(prefix="origin-")), given.port))
    except KeyboardInterrupt:
        pass
