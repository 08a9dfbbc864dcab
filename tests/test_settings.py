from pathlib import Path

import pytest

from gateway.settings import cores


@pytest.mark.parametrize(
    ("quota", "fewest", "most"),
    [
        ("100000 100000", 1, 1),
        ("50000 100000", 1, 1),
        ("max 100000", 1, 4096),
        ("", 1, 4096),
        (None, 1, 4096),
    ],
)
def test_a_containers_quota_bounds_the_cores(
    quota: str | None, fewest: int, most: int, tmp_path: Path
) -> None:
    file = tmp_path / "cpu.max"
    if quota is not None:
        file.write_text(quota)
    assert fewest <= cores(file) <= most
    assert cores(file) <= cores(tmp_path / "none")
