"""The papers' examples with the blocking client, run as they are written against a real gateway."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_docs import fenced
from tests.web.conftest import started

ROOT = Path(__file__).parents[2]
ADMIN = "an admin key of tests"
EXAMPLES = [
    (paper, number, block)
    for paper in ("README.md", "docs/api.md")
    for number, block in enumerate(fenced((ROOT / paper).read_text("utf-8"), "python"))
    if "BlockingClient(" in block
]


def test_both_papers_have_examples() -> None:
    assert {paper for paper, _, _ in EXAMPLES} == {"README.md", "docs/api.md"}
    assert len(EXAMPLES) >= 8


@pytest.mark.parametrize("paper", ["README.md", "docs/api.md"])
async def test_the_examples_of_the_papers_work_as_written(paper: str, tmp_path: Path) -> None:
    async with started(tmp_path / "front", admin_key=ADMIN, open="true") as front:
        post = front.origin.url("captions")
        environment = os.environ | {
            "GATEWAY_ADMIN_KEY": ADMIN, "PYTHONPATH": str(ROOT / "clients" / "python"),
        }  # fmt: skip
        for name, number, block in EXAMPLES:
            if name != paper:
                continue
            script = tmp_path / f"example{number}.py"
            written = block.replace("http://127.0.0.1:8000", front.url)
            for address in (
                "https://vm.tiktok.com/ZMabc123/",
                "https://www.tiktok.com/@someone/video/1234567890123456789",
            ):
                written = written.replace(address, post)
            assert post in written or "key=" in written
            script.write_text(written)
            done = await asyncio.to_thread(
                subprocess.run, [sys.executable, str(script)], cwd=tmp_path, env=environment,
                capture_output=True, timeout=60, check=False, text=True,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            assert done.stdout.strip(), block
        (saved,) = (tmp_path / "media").iterdir()
        assert saved.read_bytes() == front.origin.parts("captions")[0]
