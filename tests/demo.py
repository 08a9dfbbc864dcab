"""`make demo`: a gateway at work, seen by a client. `python -m tests.demo [URL]`.

Without an address it plays against the stand-in origin on this machine; with one, against the real
site. It ends by itself, with 0 only when everything came whole and the words were right.
"""

import asyncio
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
import wave
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp
import jiwer
from clipwire import Client, ClipwireError, End, Event, Info, Refused, Segment
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from gateway.settings import Settings
from gateway.speech import models
from tests.origin.origin import Origin
from tests.speech import debian_clips

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".cache"
FOLDER = CACHE / "demo"
CLIPS = ROOT / "tests" / "origin" / "clips"
LOG = CACHE / "demo.log"
SPOKEN = "0042"  # the ending of the spoken post's id
PAUSE_S = 0.6
WRONG_WORDS_MAX = 0.15  # of Whisper's base model on clear speech; it is usually under 0.1
START_S = 120
SITE_BYTES_PER_S = 1_000_000  # so that there is something to watch

say = Console(highlight=False, soft_wrap=True)


async def main(url: str | None) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("GATEWAY_DATA_DIR", str(CACHE / "data"))
    await fetch_model()
    async with AsyncExitStack() as stack:
        if url is None:
            words, origin = await stack.enter_async_context(stand_in(CACHE))
            video, photos, speech = origin.url("video"), origin.url("photo3"), origin.url(f"speech:{SPOKEN}")
            site = {"GATEWAY_PROXY_URL": origin.proxy_url, "GATEWAY_PROXY_CA_FILE": str(origin.ca_file)}
        else:
            words, video, photos, speech, site = None, url, None, url, {}
        address = await stack.enter_async_context(gateway(site))
        client = await stack.enter_async_context(Client(address))
        say.print(f"[bold]ping[/]  {await client.ping() * 1000:.1f} ms")
        await download(client, video, "VIDEO_ONLY" if url is None else "ORIGINAL", FOLDER)
        if photos is not None:
            await download(client, photos, "ORIGINAL", FOLDER)
        await transcribe(client, speech, words)
    say.print(f"\n[bold]done[/]  the files are in {FOLDER.relative_to(ROOT)}")


async def download(client: Client, url: str, mode: str, folder: Path) -> None:
    """Saves each part of a post, with a bar for each."""
    say.print(f"\n[bold]download[/]  {mode}  {url}")
    bars = (TextColumn("  {task.description}"), BarColumn(30), DownloadColumn())
    async with client.download(url, mode) as answer:  # type: ignore[arg-type]
        say.print(f"  {answer.title}", markup=False)
        with Progress(*bars, console=say) as progress:
            async for part in answer:
                bar = progress.add_task(part.name, total=part.length)
                await part.save(folder, lambda done, total, bar=bar: progress.update(bar, completed=done))  # type: ignore[misc]


async def transcribe(client: Client, url: str, words: str | None) -> None:
    """Prints each segment as it arrives, and compares the whole with what was said."""
    say.print(f"\n[bold]transcribe[/]  {url}")
    async with client.transcribe(url) as events:
        heard = [event async for event in printed(events)]
    if words is not None:
        compare(words, heard)


async def printed(events: AsyncIterator[Event]) -> AsyncIterator[Event]:
    """The same events, each on a line as it arrives."""
    began = time.perf_counter()
    async for event in events:
        after = f"{time.perf_counter() - began:5.2f} s"
        match event:
            case Info():
                say.print(f"  {after}  language {event.language} ({event.language_probability or 0:.0%})")
            case Segment():
                say.print(
                    f"  {after}  [{event.start:6.2f} - {event.end:6.2f}]  {event.text.strip()}", markup=False
                )
            case End():
                say.print(f"  {after}  end of {event.duration:.1f} s of sound, {event.segments} segments")
        yield event


def compare(words: str, heard: Sequence[Event]) -> None:
    """Ends the demo where what was heard is too far from what was said."""
    wrong = jiwer.wer(plain(words), plain(" ".join(one.text for one in heard if isinstance(one, Segment))))
    say.print(f"  words wrong: {wrong:.1%} (a person reads: {words[:60]}...)", markup=False)
    if wrong > WRONG_WORDS_MAX:
        raise SystemExit(f"demo: more than {WRONG_WORDS_MAX:.0%} of the words are wrong")


@asynccontextmanager
async def stand_in(folder: Path, times: int = 1) -> AsyncIterator[tuple[str, Origin]]:
    """The origin, with a post in which a person speaks, so many times on end, and what is said there."""
    say.print("[bold]origin[/]  a stand-in for the site, on this machine")
    try:
        recording, words = await asyncio.to_thread(spoken, folder, times)
    except (OSError, subprocess.CalledProcessError):
        say.print("  Debian's pocketsphinx-testdata is not to be had here (apt-get update?)")
        say.print("  a synthetic voice stands in")
        recording, words = CLIPS / "speech.mp4", (CLIPS / "narration.txt").read_text()
    async with Origin(folder / "origin", speech={SPOKEN: recording}) as origin:
        origin.parts(f"speech:{SPOKEN}")  # made before anybody waits for it
        origin.pace(SITE_BYTES_PER_S)
        yield words, origin


def spoken(folder: Path, times: int) -> tuple[Path, str]:
    """A recording of a person: sentences of a LibriVox reader, from Debian's pocketsphinx-testdata."""
    say.print("[bold]voice[/]  a LibriVox reader, from Debian's pocketsphinx-testdata (fetched once)")
    clips = debian_clips.librivox()
    joined = folder / "spoken.wav"
    with wave.open(str(joined), "wb") as out:
        for number, clip in enumerate([*clips] * times):
            with wave.open(str(clip)) as file:
                if number == 0:
                    out.setparams(file.getparams())
                out.writeframes(file.readframes(file.getnframes()))
                out.writeframes(bytes(2 * int(PAUSE_S * file.getframerate())))
    return joined, " ".join([*clips.values()] * times)


@asynccontextmanager
async def gateway(site: dict[str, str]) -> AsyncIterator[str]:
    """`python -m gateway serve`, once it is ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    say.print(f"[bold]gateway[/]  {address}  (its log: {LOG.relative_to(ROOT)})")
    env = os.environ | site | {"GATEWAY_HOST": "127.0.0.1", "GATEWAY_PORT": str(port)}
    with LOG.open("wb") as lines:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", "serve", env=env, stdout=lines, stderr=lines
        )
    try:
        await ready(address, process)
        yield address
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()


async def ready(address: str, process: asyncio.subprocess.Process) -> None:
    deadline = time.monotonic() + START_S
    async with aiohttp.ClientSession() as session:
        while True:
            if time.monotonic() > deadline:
                raise SystemExit(f"demo: the gateway was not ready after {START_S} s; its log says why")
            if process.returncode is not None:
                raise SystemExit("demo: the gateway ended; its log says why")
            try:
                async with session.get(f"{address}/ready") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(0.1)


async def fetch_model() -> None:
    """The model ahead of the gateway, so that its arrival can be watched."""
    settings = Settings()
    if models.find(settings.model, settings.data_dir) is None:
        say.print(f"[bold]model[/]  fetching Whisper's {settings.model}, once")
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gateway",
            "model",
            "pull",
            settings.model,
            stdout=asyncio.subprocess.DEVNULL,
        )
        if await process.wait():
            raise SystemExit("demo: without a model there are no words; see the lines above")


def plain(text: str) -> str:
    """Words alone, spelt the same."""
    letters = "".join(c if c.isalpha() or c == " " else " " for c in text.lower().replace("mr.", "mister"))
    return " ".join(letters.split())


@contextmanager
def alone() -> Iterator[None]:
    """One demo at a time: they share files."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say.print("another demo is running here; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    try:
        with alone():
            asyncio.run(main(sys.argv[1] if sys.argv[1:] and sys.argv[1] else None))
    except Refused as refusal:
        sys.exit(f"demo: the gateway refused: {refusal}\n(more in {LOG.relative_to(ROOT)})")
    except (ClipwireError, OSError) as failure:
        sys.exit(f"demo: {failure}\n(more in {LOG.relative_to(ROOT)})")
    except KeyboardInterrupt:
        sys.exit(130)
