"""A PostgreSQL of the tests' own: Debian's server in a temporary folder, as a user without rights.

It ends with the process that started it, also when that is killed. `python -m tests.postgres` runs one
standing and prints its address.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

NAME = "clipwire-postgres"
START_S = 60
MEMORY_BYTES_MIN = 1 << 30
PASSWORD = "a pass/word: with@signs"  # what has to be escaped in an address
USER = "clipwire"  # neither a superuser nor the owner of the server


class Missing(Exception):
    """There is no PostgreSQL on this machine."""


class Cluster:
    """A server with its data; databases are made in it from a template."""

    def __init__(self) -> None:
        self._bin = _binaries()
        self._as_user: list[str] = []
        place = _memory() or Path(tempfile.gettempdir())
        _sweep(place)
        self.folder = Path(tempfile.mkdtemp(prefix=f"{NAME}-{os.getpid()}-", dir=place))
        if os.geteuid() == 0:  # PostgreSQL does not run as root
            user = _nobody()
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self._as_user = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        self.port = _free_port()
        self._server: subprocess.Popen[bytes] | None = None

    def make(self) -> None:
        """Makes the data, starts the server and makes its user."""
        (self.folder / "password").write_text(PASSWORD)
        self._run(
            "initdb", "-D", "data", "-U", "admin", "--pwfile=password",
            "--auth-local=trust", "--auth-host=scram-sha-256",
            "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--wal-segsize=1",
        )  # fmt: skip
        self.start()
        self.sql(f"CREATE ROLE {USER} LOGIN CREATEDB PASSWORD '{PASSWORD}'")

    def start(self) -> None:
        """Starts the server, on a Unix socket and on loopback, and waits until it answers."""
        assert self._server is None
        settings = {
            "unix_socket_directories": str(self.folder), "listen_addresses": "127.0.0.1", "port": self.port,
            # what is tried is who dies here, not what a disk does
            "fsync": "off", "full_page_writes": "off", "shared_buffers": "32MB", "max_connections": 150,
            "autovacuum": "off", "min_wal_size": "8MB", "max_wal_size": "32MB",
        }  # fmt: skip
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            # SIGINT, when we end: PostgreSQL's fast shutdown
            as_user = ["setpriv", "--pdeathsig=INT", *self._as_user]
            self._server = subprocess.Popen(
                [*as_user, self._bin / "postgres", "-D", "data", *options],
                cwd=self.folder, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        until = time.monotonic() + START_S
        while self._psql("SELECT 1").returncode:
            if self._server.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"PostgreSQL did not start:\n{(self.folder / 'log').read_text()}")
            time.sleep(0.05)

    def stop(self, *, how: signal.Signals = signal.SIGINT) -> None:
        """Stops the server: SIGINT ends its connections, SIGQUIT does so as a crash would."""
        assert self._server is not None
        self._server.send_signal(how)
        self._server.wait(START_S)
        self._server = None

    @property
    def pid(self) -> int:
        """The server's."""
        assert self._server is not None
        return self._server.pid

    def freeze(self) -> None:
        """Lets the whole server stand still, as a machine that is cut off; until `thaw`."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets it go on."""
        self._signal(signal.SIGCONT)

    def remove(self) -> None:
        """Stops the server and removes its data."""
        if self._server is not None:
            self.stop(how=signal.SIGQUIT)
        shutil.rmtree(self.folder)

    def sql(self, statement: str, database: str = "postgres") -> str:
        """What a statement answers, as the superuser."""
        done = self._psql(statement, database)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def create(self, database: str, template: str = "template0") -> None:
        """Makes a database for the user, as the template is."""
        # there since 15, where it is quicker with a server that writes nothing through
        strategy = "STRATEGY FILE_COPY" if int(self._bin.parts[4]) >= 15 else ""
        self.sql(f"CREATE DATABASE {database} OWNER {USER} TEMPLATE {template} {strategy}")

    def url(self, database: str, scheme: str = "postgresql", password: str = PASSWORD) -> str:
        """The address of a database, as its user."""
        signs = "".join(f"%{byte:02X}" for byte in password.encode())
        return f"{scheme}://{USER}:{signs}@127.0.0.1:{self.port}/{database}"

    def _psql(self, statement: str, database: str = "postgres") -> "subprocess.CompletedProcess[str]":
        address = ["-h", str(self.folder), "-p", str(self.port), "-U", "admin", "-d", database]
        return subprocess.run(
            [self._bin / "psql", "-XAtq", *address, "-v", "ON_ERROR_STOP=1", "-c", statement],
            capture_output=True, text=True, timeout=START_S,
        )  # fmt: skip

    def run(self, program: str, *arguments: str | Path) -> None:
        """One of PostgreSQL's own commands, by an address."""
        done = subprocess.run(
            [self._bin / program, *arguments], capture_output=True, text=True, timeout=START_S
        )
        assert done.returncode == 0, done.stderr

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            ["setpriv", *self._as_user, self._bin / program, *arguments] if self._as_user
            else [self._bin / program, *arguments],
            cwd=self.folder, capture_output=True, text=True, timeout=START_S,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def _signal(self, number: signal.Signals) -> None:
        assert self._server is not None
        self._server.send_signal(number)  # first, so that it makes no more children
        children = Path(f"/proc/{self._server.pid}/task/{self._server.pid}/children").read_text().split()
        for pid in map(int, children):
            with suppress(ProcessLookupError):
                os.kill(pid, number)


def _binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
    if not found:
        raise Missing("there is no PostgreSQL: sh tests/packages.sh postgresql")
    return found[-1].parent


def _sweep(place: Path) -> None:
    """Removes what processes left that were killed."""
    for folder in place.glob(f"{NAME}-*"):
        if not Path("/proc", folder.name.split("-")[-2]).exists():
            shutil.rmtree(folder, ignore_errors=True)


def _memory() -> Path | None:
    """A folder in memory, where there is room: a database is made ten times as fast there."""
    folder = Path("/dev/shm")
    if os.access(folder, os.W_OK | os.X_OK) and shutil.disk_usage(folder).free >= MEMORY_BYTES_MIN:
        return folder
    return None


def _nobody() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise Missing("there is no user that PostgreSQL could run as")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


if __name__ == "__main__":
    cluster = Cluster()
    try:
        cluster.make()
        cluster.create("clipwire")
        print(cluster.url("clipwire"), flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
    finally:
        cluster.remove()
