"""What a slideshow costs: 35 photos of 1080x1920 and a minute of music, beside ffmpeg's own command.

Run it with `python -m tests.bench.slideshow`. CPU seconds count, not the clock: the whole renderer
process with its start, or the whole command. ffmpeg is measured only where its binary is installed.
"""

import asyncio
import io
import resource
import shutil
import subprocess
import tempfile
import time
import wave
from contextlib import AsyncExitStack
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from gateway.media.film import Film
from gateway.media.slideshow import Slideshows
from gateway.media.spool import Spool
from gateway.media.spools import Fill, Spools
from gateway.tasks import Background
from tests.origin import encoding

SLIDES, SECONDS = 35, 60
WIDTH, HEIGHT = 1080, 1920
GOAL_S = 3.0
# what one would type: two sounds, one after the other, cover the slides
PLAIN = ["-r", "25", "-c:v", "libx264", "-tune", "stillimage", "-pix_fmt", "yuv420p"]
# our frame rate, preset and quality
LIKE_OURS = ["-r", "26/5", "-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-tune", "stillimage",
             "-threads", "1", "-pix_fmt", "yuv420p"]  # fmt: skip


def main() -> None:
    """Prints the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photos = [encoding.image(photo, quality=4) for photo in _photos()]
        music = _music()
        for number, data in enumerate(photos, 1):
            (folder / f"{number:02}.jpg").write_bytes(data)
        (folder / "music.wav").write_bytes(music)
        size = sum(map(len, photos)) // len(photos) >> 10
        print(f"{SLIDES} slides of {WIDTH}x{HEIGHT} ({size} KB each), {SLIDES * 2.5:g} s with sound")
        print(f"{'':34}{'CPU s':>8}{'wall s':>8}{'MB':>7}{'Y PSNR':>8}")
        for title, film in (("slideshow", Film()), ("slideshow, live", Film(live=True))):
            _print(
                title,
                *_measured(lambda film=film: asyncio.run(_ours(folder, photos, music, film))),
                photos[0],
            )
        if (binary := shutil.which("ffmpeg")) is None:
            print("no ffmpeg binary is installed here: nothing to compare with")
        else:
            for title, options in (("ffmpeg, plain", PLAIN), ("ffmpeg, with our settings", LIKE_OURS)):
                _print(title, *_measured(lambda options=options: _ffmpeg(binary, folder, options)), photos[0])
    print(f"goal: under {GOAL_S:g} s of CPU")


def _measured(make) -> tuple[float, float, bytes]:  # type: ignore[no-untyped-def]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    film = make()
    wall_s = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall_s, film


def _print(title: str, cpu_s: float, wall_s: float, film: bytes, photo: bytes) -> None:
    quality = _psnr(film, photo)
    print(f"{title:34}{cpu_s:8.2f}{wall_s:8.2f}{len(film) / 1e6:7.1f}{quality:8.1f}", flush=True)


async def _ours(folder: Path, photos: list[bytes], music: bytes, film: Film) -> bytes:
    background = Background()
    spools = Spools(folder / "spools", background, bytes_max=1 << 30, keep_s=60)
    slideshows = Slideshows(renders_max=1, render_s=120)
    async with AsyncExitStack() as stack:
        parts = [await stack.enter_async_context(spools.open(n, _filled(d))) for n, d in enumerate(photos)]
        sound = await stack.enter_async_context(spools.open("sound", _filled(music)))
        made = await stack.enter_async_context(
            spools.open("film", lambda spool: slideshows.fill(spool, parts, sound, film))
        )
        data = b"".join([chunk async for chunk in made.chunks()])
    await background.close()
    spools.close()
    return data


def _filled(body: bytes) -> Fill:
    async def fill(spool: Spool) -> None:
        spool.begin("application/octet-stream")
        spool.append(body)

    return fill


def _ffmpeg(binary: str, folder: Path, options: list[str]) -> bytes:
    to = folder / "ffmpeg.mp4"
    subprocess.run(
        [binary, "-v", "error", "-y", "-framerate", "2/5", "-i", str(folder / "%02d.jpg"),
         "-stream_loop", "-1", "-i", str(folder / "music.wav"), "-t", str(SLIDES * 2.5),
         "-vf", "scale=out_color_matrix=bt709:out_range=tv", *options,
         "-c:a", "aac", "-b:a", "128k", "-movflags", "+faststart", str(to)],
        check=True,
    )  # fmt: skip
    return to.read_bytes()


def _psnr(film: bytes, photo: bytes) -> float:
    """How near the first slide's brightness is to its photo's, in decibels."""
    with av.open(io.BytesIO(film)) as container:
        shown = next(container.decode(video=0)).to_ndarray()[:HEIGHT].astype(float)
    decoder = av.CodecContext.create("mjpeg", "r")
    wanted = decoder.decode(av.Packet(photo))[0].reformat(
        format="yuv420p", src_colorspace="ITU601", dst_colorspace="ITU709",
        src_color_range="JPEG", dst_color_range="MPEG",
    )  # fmt: skip
    error = shown - wanted.to_ndarray()[:HEIGHT]
    return float(10 * np.log10(255**2 / (error**2).mean()))


def _photos() -> list[npt.NDArray[np.uint8]]:
    """Photo-like: detail at every scale as photographs have it, grain, and another tint for each."""
    random = np.random.default_rng(7)
    frequency = np.hypot(np.fft.fftfreq(HEIGHT)[:, None], np.fft.rfftfreq(WIDTH)[None])
    frequency[0, 0] = 1
    spectrum = random.normal(size=(2, *frequency.shape)) / frequency**1.25
    field = np.fft.irfft2(spectrum[0] + 1j * spectrum[1], s=(HEIGHT, WIDTH))
    field = (128 + 45 * field / field.std() + random.normal(size=field.shape) * 2.5)[..., None]
    tints = random.normal(size=(SLIDES, 3)) * 20
    slides = [np.roll(field, (53 * n, 97 * n), (0, 1)) + tint for n, tint in enumerate(tints)]
    return [np.clip(slide, 0, 255).astype(np.uint8) for slide in slides]


def _music() -> bytes:
    """Chords with a beat and some noise, as a WAV file."""
    rate = 44_100
    at = np.arange(rate * SECONDS) / rate
    chord = sum(np.sin(2 * np.pi * pitch * at) for pitch in (220, 277.2, 329.6, 440, 554.4))
    beat = 0.4 + 0.6 * np.exp(-6 * (at * 2 % 1))
    hiss = np.random.default_rng(7).normal(size=at.size) * 0.3
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(rate)
        left = (chord + hiss) * beat * 3000
        file.writeframes(np.stack([left, np.roll(left, 400)], 1).astype("<i2").tobytes())
    return made.getvalue()


if __name__ == "__main__":
    main()
