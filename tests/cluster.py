"""A Ray cluster of the tests' own on this machine: a head and nodes of one CPU each, by `ray start`.

Each node's processes are known by a word in their environment, or by a parent's, for Ray writes titles
over theirs; they are ended by their ids. There is never more than one cluster at a time: whoever comes
second waits, and ends what is left of one whose tests were killed. Each node has an address of loopback,
though some of Ray's ports are open on all addresses: whoever calls there needs the token.
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
_ADDRESSES = {"head": "127.0.0.2", "second": "127.0.0.3"}  # in place of 127.0.0.1 Ray takes another one
_MARK = "CLIPWIRE_TEST_NODE"


class Missing(Exception):
    """There is no Ray here."""


class Nodes:
    """The cluster. `start`, then more of `node`."""

    def __init__(self, data_dir: Path) -> None:
        if find_spec("ray") is None:
            raise Missing("there is no Ray: pip install clipwire[cluster]")
        self._lock = (Path(tempfile.gettempdir()) / "clipwire-ray.lock").open("a+")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._lock.seek(0)
        if left := self._lock.read().strip():
            self._mark = left
            self.kill()
        self._mark = secrets.token_hex(8)
        self._lock.truncate(0)
        self._lock.write(self._mark)
        self._lock.flush()
        self.folder = Path(tempfile.mkdtemp(prefix="cwray-"))  # sockets are in it: a short name
        self._port = _free_port()
        self.address = f"{_ADDRESSES['head']}:{self._port}"
        self.environment = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_raylet_start_wait_time_s": str(START_S),
            "RAY_worker_niceness": "5",  # as the workers of a gateway; Ray's own is 15
            "GATEWAY_DATA_DIR": str(data_dir),
            "PYTHONPATH": f"{ROOT}:{ROOT / 'clients/python'}",
        }

    def start(self) -> None:
        """The head, with one CPU."""
        self._start("head", {}, "--head", f"--port={self._port}", "--include-dashboard=false",
                    f"--temp-dir={self.folder}", f"--ray-client-server-port={_free_port()}")  # fmt: skip

    def node(self, name: str, **environment: str) -> None:
        """One more node of one CPU."""
        self._start(name, environment, f"--address={self.address}")

    def kill(self, name: str = "") -> None:
        """All processes of a node, or of all, at once, as when its machine goes."""
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
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
        if not self._lock.closed:
            self._lock.truncate(0)
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

    def _start(self, name: str, environment: dict[str, str], *options: str) -> None:
        script = Path(sys.executable).with_name("ray")
        told = self.folder / f"{name}.log"
        with told.open("ab") as log:
            done = subprocess.run(
                [script, "start", *options, f"--node-ip-address={_ADDRESSES[name]}", "--num-cpus=1",
                 "--num-gpus=0", "--disable-usage-stats", f"--object-store-memory={MEMORY_BYTES}"],
                env={**os.environ, **self.environment, **environment, _MARK: f"{self._mark}-{name}",
                     "OTEL_RESOURCE_ATTRIBUTES": f"host.name={name}"},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=START_S,
                cwd=self.folder, start_new_session=True,
            )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"ray start of {name}: {told.read_text(errors='replace')[-2000:]}")


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
