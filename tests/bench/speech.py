"""Transcripts through the whole product against plain faster-whisper on the same file, in turns."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

import aiohttp

from tests.bench import spoken
from tests.bench.effort import Effort
from tests.bench.hearing import heard
from tests.bench.model import model
from tests.bench.plain import BEAM_SIZE, THREADS, Heard, plain
from tests.bench.process import idle
from tests.bench.serve import serve
from tests.bench.site import Plan, site
from tests.bench.table import Table, ratio
from tests.speech import clips
from tests.speech.clips import Clip

PLAIN, GATEWAY = "plain", "gateway"
WARM = "to warm up"
RUNS_S = 100  # no further run begins after so long: a busy machine gives fewer of them

Found = dict[tuple[str, str], list[list[Heard]]]  # what, who: the answers of each run


async def speech(effort: Effort, folder: Path) -> list[Table]:
    """One clip, a long one, and eight at once."""
    voices = await asyncio.to_thread(spoken.spoken)
    cases = {"one": [voices.one], "long": [voices.long], "eight at once": voices.several}
    if effort.quick:
        cases = {"one": [voices.one]}
    films = {what: await asyncio.to_thread(_films, some) for what, some in cases.items()}
    asked = [WARM, *map(str, range(effort.runs))]
    # each run's films are files never seen before, so that nothing is answered from memory
    files = {
        f"{what}, {n}, run {run}": spoken.copy(film, folder / "films" / f"{what}-{n}-{run}.mp4", number)
        for number, run in enumerate(asked)
        for what, some in films.items()
        for n, film in enumerate(some)
    }
    plan = Plan({name: name for name in files}, {name: str(path) for name, path in files.items()})
    found: Found = defaultdict(list)
    async with AsyncExitStack() as stack:
        weights = await model()
        pages = await stack.enter_async_context(site(plan, folder / "site"))
        environment = pages.settings | {"GATEWAY_MODEL": str(weights)}
        gateway = await stack.enter_async_context(serve(folder / "gateway", environment, until="/ready"))
        script = await stack.enter_async_context(plain(weights, folder / "plain.log"))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        await idle(gateway.pid)  # its other workers are loaded too
        until = time.monotonic() + RUNS_S
        for run in asked:
            if found and time.monotonic() > until:
                break
            for what in ["one"] if run == WARM else cases:
                names = [f"{what}, {n}, run {run}" for n in range(len(cases[what]))]
                theirs = await script.transcribe([files[name] for name in names])
                ours = await _at_once(session, gateway.url, [pages.url(name) for name in names])
                if run != WARM:
                    found[what, PLAIN].append(theirs)
                    found[what, GATEWAY].append(ours)
    return [_table(found, cases)]


def _films(several: Sequence[Clip]) -> list[Path]:
    return [spoken.film(clip, spoken.SMALL) for clip in several]


async def _at_once(session: aiohttp.ClientSession, gateway_url: str, urls: Sequence[str]) -> list[Heard]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(heard(session, gateway_url, url)) for url in urls]
    return [task.result() for task in tasks]


def _table(found: Found, cases: Mapping[str, Sequence[Clip]]) -> Table:
    rows = []
    for what, several in cases.items():
        seconds = sum(clip.seconds for clip in several)
        words = " ".join(clip.text for clip in several).strip()
        walls, firsts = (
            {who: [measure(run) for run in found[what, who]] for who in (PLAIN, GATEWAY)}
            for measure in (_wall, _first)
        )
        for who in (PLAIN, GATEWAY):
            rows.append(
                (
                    what, who, f"{seconds:.0f}",
                    f"{median(walls[who]):.2f}", ratio(walls[who], walls[PLAIN]),
                    f"{seconds / median(walls[who]):.1f}",
                    f"{median(firsts[who]):.2f}", ratio(firsts[who], firsts[PLAIN]),
                    f"{_wrong(words, found[what, who][-1]):.1%}",
                )
            )  # fmt: skip
    columns = (
        "clips", "who", "sound s", "wall s", "to plain", "sound s/s", "first text s", "to plain",
        "words wrong",
    )  # fmt: skip
    return Table(
        "speech: POST /transcribe of a post against faster-whisper on its file",
        columns,
        rows,
        notes=(
            f"base, int8, beam {BEAM_SIZE}; plain: one model, {THREADS} threads; gateway: as it starts here",
            f"median of {len(next(iter(found.values())))} runs in turns",
            "of several at once plain takes one after the other; their first text is the median",
        ),
    )


def _wall(run: Sequence[Heard]) -> float:
    return max(one.whole_s for one in run)


def _first(run: Sequence[Heard]) -> float:
    return median([one.first_s for one in run])


def _wrong(words: str, run: Sequence[Heard]) -> float:
    """Of all clips of a run together."""
    return clips.error_rate(Clip("all", b"", words), " ".join(one.text for one in run))
