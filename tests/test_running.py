from pathlib import Path

import pytest

from gateway.running import running
from gateway.settings import Settings
from tests.web.conftest import until


@pytest.mark.parametrize("ahead", [True, False])
async def test_what_posts_and_sound_need_is_loaded_ahead_where_that_is_asked_for(
    tmp_path: Path, ahead: bool
) -> None:
    settings = Settings(  # type: ignore[call-arg]
        _env_file=None, data_dir=tmp_path, extract_processes=1, model=str(tmp_path / "none")
    )
    async with running(settings, speech=False, ahead=ahead) as gateway:
        assert any(task.get_name() == "children" for task in gateway.background._tasks) == ahead
        if ahead:
            await until(lambda: bool(gateway.extractor._processes.pids), 30)
            assert gateway.decoders._nursery._starting is not None
        assert bool(gateway.extractor._processes.pids) == ahead
