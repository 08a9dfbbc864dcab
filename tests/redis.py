"""A Redis of the tests' own: Debian's server in a temporary folder, in memory only, with a password.

It ends with the process that started it, also when that is killed. `python -m tests.redis` runs one
standing and prints its address.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from tests.origin.certificates import server_context

NAME = "clipwire-redis"
START_S = 30
PASSWORD = "a pass/word: with@signs"  # what has to be escaped in an address


class Missing(Exception):
    """There is no Redis on this machine."""


class Server:
    """The server, on loopback with and without TLS, and on a Unix socket."""

    def __init__(self) -> None:
        self._program = shutil.which("redis-server")
        if self._program is None:
            raise Missing("there is no Redis: sh tests/packages.sh redis-server")
        place = Path(tempfile.gettempdir())
        _sweep(place)
        self.folder = Path(tempfile.mkdtemp(prefix=f"{NAME}-{os.getpid()}-", dir=place))
        self.port, self.tls_port = _free_port(), _free_port()
        _, self.ca_file = server_context(self.folder, ["localhost"])
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts the server, empty, and waits until it answers."""
        assert self._server is None
        leaf = self.folder / "origin-leaf.pem"
        settings = {
            "bind": "127.0.0.1", "port": self.port, "tls-port": self.tls_port, "unixsocket": self.socket,
            "tls-cert-file": leaf, "tls-key-file": leaf, "tls-ca-cert-file": self.ca_file,
            "tls-auth-clients": "no", "save": "", "appendonly": "no", "dir": self.folder,
            "requirepass": PASSWORD, "databases": 16,
        }  # fmt: skip
        options = [part for name, value in settings.items() for part in (f"--{name}", str(value))]
        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                ["setpriv", "--pdeathsig=KILL", self._program, *options],
                cwd=self.folder, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        until = time.monotonic() + START_S
        while not self._answers():
            if self._server.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"Redis did not start:\n{(self.folder / 'log').read_text()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Kills the server; what was in it is gone."""
        assert self._server is not None
        self._server.kill()
        self._server.wait(START_S)
        self._server = None

    def freeze(self) -> None:
        """Lets it stand still, as a machine that is cut off; until `thaw`."""
        assert self._server is not None
        self._server.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets it go on."""
        assert self._server is not None
        self._server.send_signal(signal.SIGCONT)

    def remove(self) -> None:
        """Stops the server and removes its folder."""
        if self._server is not None:
            self.stop()
        shutil.rmtree(self.folder)

    def ask(self, *command: str) -> str:
        """What a command answers, in the words of redis-cli."""
        done = subprocess.run(
            ["redis-cli", "-s", self.socket, "--no-auth-warning", "-a", PASSWORD, *command],
            capture_output=True, text=True, timeout=START_S, check=True,
        )  # fmt: skip
        return done.stdout.strip()

    @property
    def pid(self) -> int:
        """The server's."""
        assert self._server is not None
        return self._server.pid

    @property
    def socket(self) -> Path:
        return self.folder / "socket"

    @property
    def url(self) -> str:
        return f"redis://:{_escaped(PASSWORD)}@127.0.0.1:{self.port}"

    @property
    def tls_url(self) -> str:
        return f"rediss://:{_escaped(PASSWORD)}@localhost:{self.tls_port}?ssl_ca_certs={self.ca_file}"

    @property
    def unix_url(self) -> str:
        return f"unix://:{_escaped(PASSWORD)}@{self.socket}"

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as one:
                one.sendall(b"PING\r\n")
                return one.recv(100).startswith(b"-NOAUTH")
        except OSError:
            return False


def _escaped(word: str) -> str:
    return "".join(f"%{byte:02X}" for byte in word.encode())


def _sweep(place: Path) -> None:
    """Removes what processes left that were killed."""
    for folder in place.glob(f"{NAME}-*"):
        if not Path("/proc", folder.name.split("-")[-2]).exists():
            shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


if __name__ == "__main__":
    server = Server()
    try:
        server.start()
        print(server.url, flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
    finally:
        server.remove()
