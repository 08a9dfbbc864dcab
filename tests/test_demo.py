"""The demo is the first thing anybody runs."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_demo_ends_by_itself_with_right_words(base_model: Path) -> None:
    env = os.environ | {"GATEWAY_DATA_DIR": str(base_model.parents[1])}
    done = subprocess.run(
        [sys.executable, "-m", "tests.demo"], cwd=ROOT, env=env, capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "cold-hearted and rather selfish" in done.stdout
    assert "words wrong: " in done.stdout
    files = ROOT / ".cache" / "demo"
    assert (files / "clipwire.demo_7400000000000000001.mp4").read_bytes() == (
        ROOT / "tests/origin/clips/video.mp4"
    ).read_bytes()
    assert not list(files.glob("*.part"))
