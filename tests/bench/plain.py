"""What everybody writes first: faster-whisper on a file, one file after the other. A process of its own."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.process import child, line, module, say

THREADS = 2
BEAM_SIZE = 5


@dataclass(frozen=True)
class Heard:
    """A transcript and when it came, in seconds from its request; `first_s` is its first text."""

    first_s: float
    whole_s: float
    text: str


class Plain:
    """A loaded model that takes files."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def transcribe(self, files: Sequence[Path], *, first_only: bool = False) -> list[Heard]:
        """All files, asked for at once and done in turn; times count from the asking."""
        await say(self._process, json.dumps([[str(file) for file in files], first_only]).encode())
        return [Heard(**one) for one in json.loads(await line(self._process, "plain faster-whisper"))]


@asynccontextmanager
async def plain(model: Path, log: Path) -> AsyncIterator[Plain]:
    """A process with the model loaded."""
    async with child(*module("tests.bench.plain"), model, log=log) as process:
        await line(process, "plain faster-whisper")
        yield Plain(process)


# The child


def main(model_folder: str) -> None:
    """Answers until its standard input ends."""
    from faster_whisper import WhisperModel

    model = WhisperModel(model_folder, device="cpu", compute_type="int8", cpu_threads=THREADS)
    print("ready", flush=True)
    for asked in sys.stdin:
        files, first_only = json.loads(asked)
        began, answers = time.perf_counter(), []
        for file in files:
            texts, first_s = [], 0.0
            segments, _ = model.transcribe(file, beam_size=BEAM_SIZE)
            for segment in segments:
                first_s = first_s or time.perf_counter() - began
                texts.append(segment.text.strip())
                if first_only:
                    break
            answers.append(
                {"first_s": first_s, "whole_s": time.perf_counter() - began, "text": " ".join(texts)}
            )
        print(json.dumps(answers), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
