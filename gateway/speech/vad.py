"""Voice activity: how likely each 32 ms of a sound is speech, heard piece by piece.

Always: the probabilities are those of the whole sound heard at once, however it was split.
Knows silero's model; faster-whisper ships the file, but its package is not imported here:
that would load CTranslate2 and PyAV into the gateway's own process.
"""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

FRAME = 512  # samples; what the model was trained on at 16 kHz
_CONTEXT = 64  # samples of the frame before, put in front of each frame
_STATE = (1, 1, 128)


class Detector:
    """The model, shared by all sounds; its session may be used by several threads."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.inter_op_num_threads = options.intra_op_num_threads = 1  # 900 x real time on one
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 4
        self._session = onnxruntime.InferenceSession(
            str(model_file()), providers=["CPUExecutionProvider"], sess_options=options
        )

    def run(self, frames: Any, h: Any, c: Any) -> tuple[Any, Any, Any]:
        """Probabilities of frames that follow each other, and the state after them."""
        probabilities, h, c = self._session.run(None, {"input": frames, "h": h, "c": c})
        return probabilities, h, c


class Hearing:
    """One sound on its way through the detector. Blocks: call it in a thread."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._h: Any = np.zeros(_STATE, dtype=np.float32)
        self._c: Any = np.zeros(_STATE, dtype=np.float32)
        self._before: Any = np.zeros(_CONTEXT, dtype=np.float32)
        self._rest = b""  # less than a frame

    def hear(self, samples: bytes) -> list[float]:
        """The probabilities of the frames that `samples` (s16le) completes."""
        heard = self._rest + samples
        whole = len(heard) // (2 * FRAME) * (2 * FRAME)
        self._rest = heard[whole:]
        if not whole:
            return []
        sound = np.frombuffer(heard[:whole], dtype="<i2").astype(np.float32) / 32768
        frames = sound.reshape(-1, FRAME)
        before = np.vstack([self._before, frames[:-1, -_CONTEXT:]])
        self._before = frames[-1, -_CONTEXT:]
        probabilities, self._h, self._c = self._detector.run(
            np.concatenate([before, frames], axis=1), self._h, self._c
        )
        return [float(p) for p in np.ravel(probabilities)]

    def finish(self) -> list[float]:
        """The probability of the last, incomplete frame, if there is one."""
        return self.hear(bytes(2 * FRAME - len(self._rest))) if self._rest else []


def model_file() -> Path:
    """Silero's model in the installed faster-whisper."""
    found = importlib.util.find_spec("faster_whisper")
    assert found is not None, "faster-whisper is a dependency"
    assert found.submodule_search_locations
    return Path(found.submodule_search_locations[0]) / "assets" / "silero_vad_v6.onnx"
