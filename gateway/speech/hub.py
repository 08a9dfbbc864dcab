"""Models from the hub, by name, as faster-whisper does it; in a child process that can be given up.

Run as a module it is that child: it prints the size of the model, then fetches it.
"""

import asyncio
import os
import shutil
import sys
from pathlib import Path

import structlog

from gateway.errors import ModelUnavailable
from gateway.speech import fetching

log = structlog.get_logger()

FILES = ["config.json", "preprocessor_config.json", "model.bin", "tokenizer.json", "vocabulary.*"]

# those whose repository is not Systran/faster-whisper-<name>
_REPOSITORIES = {
    "large": "Systran/faster-whisper-large-v3",
    "distil-large-v2": "Systran/faster-distil-whisper-large-v2",
    "distil-medium.en": "Systran/faster-distil-whisper-medium.en",
    "distil-small.en": "Systran/faster-distil-whisper-small.en",
    "distil-large-v3": "Systran/faster-distil-whisper-large-v3",
    "distil-large-v3.5": "distil-whisper/distil-large-v3.5-ct2",
    "large-v3-turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
    "turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
}


def repository(name: str) -> str:
    """Where the hub keeps the model of this name."""
    return _REPOSITORIES.get(name, f"Systran/faster-whisper-{name}")


async def fetch(name: str, folder: Path, hub_s: float, progress: fetching.Progress) -> None:
    """Fills `folder`. Raises ModelUnavailable when the hub does not answer within `hub_s`, or fails.

    A hub that does deliver may take as long as it needs.
    """
    progress("hub", 0, None)
    env = {
        **os.environ,
        "HF_HUB_DISABLE_XET": "1",  # its files grow elsewhere: no progress to be seen
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    command = (sys.executable, "-m", "gateway.speech.hub", repository(name), str(folder))
    async with fetching.child(*command, env=env) as process:
        assert process.stdout is not None
        try:
            async with asyncio.timeout(hub_s):
                line = await process.stdout.readline()
        except TimeoutError:
            raise ModelUnavailable("The model hub did not answer in time.") from None
        if not line.strip().isdigit():
            raise ModelUnavailable("The model hub could not be reached, or has no such model.")
        total = int(line)

        def arrived(done: int) -> None:
            progress("hub", min(done, total), total)

        complaint = await fetching.watch(process, folder, arrived)
        if process.returncode:
            log.warning("model hub broke off", complaint=complaint)
            raise ModelUnavailable("The model hub broke off.")
    await asyncio.to_thread(shutil.rmtree, folder / ".cache", ignore_errors=True)


def main() -> None:
    """The child: says how many bytes will come, then lets them come."""
    from fnmatch import fnmatch

    from huggingface_hub import HfApi, snapshot_download

    name, folder = sys.argv[1:]
    info = HfApi().model_info(name, files_metadata=True)
    files = info.siblings or []
    wanted = [file for file in files if any(fnmatch(file.rfilename, pattern) for pattern in FILES)]
    print(sum(file.size or 0 for file in wanted), flush=True)
    snapshot_download(name, revision=info.sha, local_dir=folder, allow_patterns=FILES)


if __name__ == "__main__":
    main()
