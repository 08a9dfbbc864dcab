"""A Ray cluster of the tests' own on this machine: a head and nodes of one CPU each, by `ray start`.

Each node's processes are known by a word in their environment, or by a parent's, for Ray writes titles
over theirs; they are ended by their ids. There is never more than one cluster at a time: whoever comes
second waits.
"""

import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[1]
START_S = 150  # Ray takes 8 s on a free machine
MEMORY_BYTES = 100_000_000  # of the object store of each node
_MARK = "CLIPWIRE_TEST_NODE"


class Missing(Exception):
    """There is no Ray here."""


class Nodes:
    """The cluster. `start`, then more of `node`."""

    def __init__(self, data_dir: Path) -> None:
        if find_spec("ray") is None:
            raise Missing("there is no Ray: pip install clipwire[cluster]")
        self._lock = (Path(tempfile.gettempdir()) / "clipwire-ray.lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._mark = secrets.token_hex(8)
        self.folder = Path(tempfile.mkdtemp(prefix="cwray-"))  # sockets are in it: a short name
        self._port = _free_port()
        self.address = f"127.0.0.1:{self._port}"
        self.environment = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_raylet_start_wait_time_s": str(START_S),
            "GATEWAY_DATA_DIR": str(data_dir),
            "PYTHONPATH": f"{ROOT}:{ROOT / 'clients/python'}",
        }

    def start(self) -> None:
        """The head, with one CPU."""
        self._start("head", "--head", f"--port={self._port}", "--include-dashboard=false",
                    f"--temp-dir={self.folder}", f"--ray-client-server-port={_free_port()}")  # fmt: skip

    def node(self, name: str) -> None:
        """One more node of one CPU."""
        self._start(name, f"--address={self.address}")

    def kill(self, name: str) -> None:
        """All processes of a node at once, as when its machine goes."""
        while pids := self.pids(name):  # again: one may have been born meanwhile
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            while any(map(_alive, pids)):
                time.sleep(0.02)

    def stop(self) -> None:
        """Ends everything."""
        self.kill("")
        shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.close()

    def pids(self, name: str = "") -> list[int]:
        """The processes of a node, or of all."""
        parents = {int(one): _stat(int(one))[1] for one in os.listdir("/proc") if one.isdigit()}
        word = f"{_MARK}={self._mark}-{name}".encode()
        found = {pid for pid in parents if pid != os.getpid() and word in _read(pid, "environ")}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return [pid for pid in found if _alive(pid)]

    def replicas(self, name: str = "") -> list[int]:
        """Those of them that are replicas, whether loaded or not."""
        return [pid for pid in self.pids(name) if b"ServeReplica" in _read(pid, "cmdline")]

    def command(self, *words: str, **settings: str) -> "subprocess.CompletedProcess[str]":
        """`python -m gateway cluster ...` against this cluster."""
        environment = {
            **os.environ, **self.environment, "GATEWAY_CLUSTER_ADDRESS": self.address, **settings,
        }  # fmt: skip
        return subprocess.run(
            [sys.executable, "-m", "gateway", "cluster", *words],
            cwd=self.folder, env=environment, text=True, capture_output=True, timeout=START_S,
        )  # fmt: skip

    def _start(self, name: str, *options: str) -> None:
        script = Path(sys.executable).with_name("ray")
        with (self.folder / f"{name}.log").open("ab") as log:
            subprocess.run(
                [script, "start", *options, "--num-cpus=1", "--num-gpus=0", "--disable-usage-stats",
                 f"--object-store-memory={MEMORY_BYTES}"],
                env={**os.environ, **self.environment, _MARK: f"{self._mark}-{name}",
                     "OTEL_RESOURCE_ATTRIBUTES": f"host.name={name}"},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True, timeout=START_S,
                cwd=self.folder, start_new_session=True,
            )  # fmt: skip


def _alive(pid: int) -> bool:
    return _stat(pid)[0] not in ("", "Z")


def _stat(pid: int) -> tuple[str, int]:
    """A process' state and its parent; nothing for one that is gone."""
    state, parent, *_ = [*_read(pid, "stat").decode().rpartition(")")[2].split()[:2], "", "0"]
    return state, int(parent or 0)


def _read(pid: int, what: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{what}").read_bytes()
    except OSError:
        return b""


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
