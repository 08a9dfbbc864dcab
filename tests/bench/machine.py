"""What machine a table is of."""

import os
import platform
import ssl
import subprocess
from importlib.metadata import version
from pathlib import Path

from tests.bench.nginx import program
from tests.bench.process import CORES, BenchFailed

PACKAGES = ("aiohttp", "uvloop", "faster-whisper", "ctranslate2", "yt-dlp")


def words() -> str:
    """Cores, system and versions, in two lines."""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    system = f"Linux {platform.release()}, load {busy()}"
    return (
        f"{len(CORES)} cores ({_processor()}), {_memory_gib():.0f} GiB, {system}\n"
        f"Python {platform.python_version()}, {ssl.OPENSSL_VERSION}, {_nginx()}, {packages}"
    )


def busy() -> str:
    """The load of the last minute: well under one before a bench starts, or others take its time."""
    return f"{os.getloadavg()[0]:.1f}"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)


def _nginx() -> str:
    try:
        told = subprocess.run([program(), "-v"], capture_output=True, text=True, check=False).stderr
    except BenchFailed:
        return "no nginx"
    return told.strip().rpartition(": ")[2]
