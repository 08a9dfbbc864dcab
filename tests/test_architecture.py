"""What import-linter cannot say: each outsider is known by one file."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

KNOWN_BY = {
    "aiohttp.web": ("gateway/web/",),
    "yt_dlp": ("gateway/media/tiktok.py", "gateway/media/guard.py"),
    "curl_cffi": ("gateway/media/guard.py",),
    "av": (
        "gateway/media/decoder.py",
        "gateway/media/frames.py",
        "gateway/media/jpegs.py",
        "gateway/media/photo.py",
        "gateway/media/remux.py",
        "gateway/media/renderer.py",
        "gateway/media/resampler.py",
        "gateway/media/soundtrack.py",
    ),
    "faster_whisper": ("gateway/speech/whisper.py",),
    "ctranslate2": ("gateway/speech/whisper.py",),
    "huggingface_hub": ("gateway/speech/hub.py",),
    "onnxruntime": ("gateway/speech/vad.py",),
    "openai": ("gateway/vision/client.py",),
    "yaml": ("gateway/vision/wording.py",),
    "opentelemetry": ("gateway/tracing.py",),
    "sentry_sdk": ("gateway/sentry.py",),
    "google": ("gateway/cloudlog.py",),
    "prometheus_client": ("gateway/metrics.py",),
    "clipwire": ("gateway/commands/",),
    "typer": ("gateway/__main__.py", "gateway/commands/"),
    "sqlalchemy": ("gateway/store/",),
    "alembic": ("gateway/store/schema.py", "gateway/store/migrations/"),
    "aiosqlite": ("gateway/store/sqlite.py",),
    "sqlite3": ("gateway/store/sqlite.py",),
    "asyncpg": ("gateway/store/postgresql.py",),
    "redis": ("gateway/store/redis.py",),
    "ray": ("gateway/speech/nodes/",),
}


@cache
def imports(path: Path) -> tuple[str, ...]:
    """Every module that a file imports, at its top or inside a function."""
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(parsed(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{one.name}" for one in node.names)


def parsed(source: str) -> ast.Module:
    """The tree; tried again where CPython 3.11 loses count of its depth, as it may beside other threads."""
    for _ in range(5):
        with suppress(SystemError):
            return ast.parse(source)
    return ast.parse(source)


@pytest.mark.parametrize("outsider", KNOWN_BY)
def test_each_outsider_is_known_by_one_place(outsider: str) -> None:
    knowing = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "gateway").rglob("*.py")
        if any(name == outsider or name.startswith(outsider + ".") for name in imports(path))
    }
    assert knowing
    assert all(path.startswith(KNOWN_BY[outsider]) for path in knowing), knowing


def test_no_file_is_empty_for_later_and_each_says_what_it_is() -> None:
    for path in (ROOT / "gateway").rglob("*.py"):
        tree = ast.parse(path.read_text())
        assert path.name == "__init__.py" or ast.get_docstring(tree), f"{path} has no docstring"


@pytest.mark.parametrize(
    "module", ["media.tiktok", "media.decoder", "media.renderer", "speech.worker", "speech.fetching"]
)
def test_a_child_process_loads_nothing_of_the_gateway_that_it_has_no_use_for(module: str) -> None:
    told = f"import gateway.{module}, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", told], cwd=ROOT, check=True, capture_output=True, text=True, timeout=60
    ).stdout.split()
    assert f"gateway.{module}" in loaded
    assert {"aiohttp", "pydantic", "sqlalchemy", "structlog", "typer"}.isdisjoint(loaded)
