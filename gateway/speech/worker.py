"""A speech worker: one process with one model, started by the pool, told what to do by its stdin.

Always: it ends at once when its stdin does, also while the model works: no orphan outlives the
gateway. Nothing but messages is written to what was its stdout; a library's print goes to stderr.
"""

import argparse
import os
import queue
import sys
import threading
import traceback
from pathlib import Path
from typing import BinaryIO

from gateway import __version__
from gateway.speech.messages import (
    Answer,
    Batch,
    Crashed,
    FromWorker,
    Heard,
    Ready,
    bodies,
    framed,
    to_worker,
)
from gateway.tracing import Tracing


def main() -> None:
    """Loads the model, says so, and answers batches until stdin ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--compute-type", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--beam-size", type=int, required=True)
    parser.add_argument("--encoder-silence", type=float)
    parser.add_argument("--traces")
    wish = parser.parse_args()

    _step_back()
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    batches: queue.Queue[Batch] = queue.Queue(1)
    threading.Thread(target=_read, args=(sys.stdin.buffer, batches), daemon=True).start()

    def say(message: FromWorker) -> None:
        data = memoryview(framed(message))
        while data:
            data = data[out.write(data) :]

    try:
        from gateway.speech.rounds import Rounds  # after stdout is out of the way
        from gateway.speech.whisper import Whisper

        model = Whisper(
            wish.folder,
            device=wish.device,
            compute_type=wish.compute_type,
            threads=wish.threads,
            beam_size=wish.beam_size,
        )
        rounds = Rounds(model, name=wish.name, silence_s=wish.encoder_silence)
        tracing = Tracing(wish.traces, version=__version__, process="speech worker")
        say(Ready())
        while True:
            batch = batches.get()
            spans = [tracing.begin("window", of=job.trace) for job in batch.jobs]
            for job, recognised in rounds.recognise(batch.jobs, lambda *heard: say(Heard(*heard))):
                spans[job].end()
                say(Answer(job, recognised))
    except BrokenPipeError:
        os._exit(0)
    except Exception:
        say(Crashed(traceback.format_exc()))
        os._exit(1)


def _step_back() -> None:
    """On a busy core the event loop, extraction and decoding go first: they keep many waiting."""
    os.nice(5)
    try:
        # a session of its own is a group of its own for Linux, within which alone niceness counts
        Path("/proc/self/autogroup").write_text("5")
    except OSError:
        pass  # it has no such groups


def _read(source: BinaryIO, batches: "queue.Queue[Batch]") -> None:
    for body in bodies(source):
        batches.put(to_worker(body))
    os._exit(0)


if __name__ == "__main__":
    main()
