"""What is left of a load once it is quiet: /metrics, /proc, the data folder and the database are asked."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from gateway.store.tables import codes, holds, jobs, transcripts
from tests.bench.process import members, shared_kb
from tests.load.stand import ADMIN, Stand

STILL = (  # metrics that are 0 when nobody wants anything
    "clipwire_streams_open", "clipwire_spools", "clipwire_spool_bytes", "clipwire_queue_windows",
    "clipwire_transcripts_running", "clipwire_transcripts_unwritten",
)  # fmt: skip
DATABASE_MAX = 10 * 3  # connections, each with its file, -wal and -shm
SOCKETS_MORE = 4  # kept ways to the proxy, and who just looks
PIPES_MORE = 4
THREADS_MORE = 12  # of pools that grow to their size: connections of the database, names, files


@dataclass(frozen=True)
class Standing:
    """A gateway at rest."""

    files: Mapping[str, int]  # open ones of the gateway itself, by what they are
    processes: int
    zombies: int
    threads: int
    own_kb: int
    all_kb: int
    metrics: Mapping[str, float]
    spools: tuple[str, ...]
    holds: int
    jobs: int


async def standing(stand: Stand) -> Standing:
    pid = stand.gateway.pid
    family = members(pid)
    return Standing(
        files=_files(pid),
        processes=len(family),
        zombies=sum(stat[0] == "Z" for stat in family.values()),
        threads=int(re.findall(r"Threads:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[0]),
        own_kb=_pss_kb(pid),
        all_kb=shared_kb(pid),
        metrics=await metrics(stand),
        spools=_on_disk(stand.data),
        holds=await _count(stand, sa.select(sa.func.count()).where(holds.c.state == "HELD")),
        jobs=await _count(stand, sa.select(sa.func.count()).where(jobs.c.state.in_(("PENDING", "RUNNING")))),
    )


def leaks(now: Standing, before: Standing, *, own_kb_more: int, worker_kb_more: int) -> list[str]:
    """What there is more of than there should be. Empty: nothing is left."""
    found = [f"{name} is {now.metrics[name]:g}" for name in STILL if now.metrics.get(name, 0)]
    if now.metrics["clipwire_requests_open"] > 1:  # who looks is one
        found.append(f"{now.metrics['clipwire_requests_open']:g} requests are open")
    if now.metrics["clipwire_workers"] != now.metrics["clipwire_workers_wanted"]:
        found.append("workers are missing")
    for kind, count in now.files.items():
        more = {"socket": SOCKETS_MORE, "pipe": PIPES_MORE}.get(kind, 0)
        most = DATABASE_MAX if kind == "database" else before.files.get(kind, 0) + more
        if count > most:
            found.append(f"{count} open files are {kind}, {before.files.get(kind, 0)} before")
    if now.processes > before.processes:
        found.append(f"{now.processes} processes, {before.processes} before")
    if now.threads > before.threads + THREADS_MORE:
        found.append(f"{now.threads} threads, {before.threads} before")
    if now.own_kb > before.own_kb + own_kb_more:
        found.append(f"the gateway itself takes {now.own_kb} KB, {before.own_kb} before")
    workers = round(now.metrics["clipwire_workers_wanted"])
    if now.all_kb > before.all_kb + own_kb_more + workers * worker_kb_more:
        found.append(f"all processes take {now.all_kb} KB, {before.all_kb} before")
    found += [f"on disk is {name}" for name in now.spools]
    for count, what in ((now.zombies, "zombies"), (now.holds, "codes held"), (now.jobs, "jobs open")):
        if count:
            found.append(f"{count} {what}")
    return found


async def lost(stand: Stand) -> list[str]:
    """Codes that do not add up: each is free, or spent with its transcript; what was told is so."""
    async with stand.database.reading() as tx:
        rows = (await tx.execute(sa.select(codes))).all()
        kept = {
            row.id: row.state for row in await tx.execute(sa.select(transcripts.c.id, transcripts.c.state))
        }
        done = {row.transcript_id: row.state for row in await tx.execute(sa.select(jobs))}
    spent = {row.id: row.transcript_id for row in rows if row.spent_at is not None}
    found = [f"code {one} is not there" for one in stand.purse.issued if one not in {row.id for row in rows}]
    found += [f"code {one} was spent without its transcript" for one, id_ in spent.items() if id_ not in kept]
    found += [f"code {row.id} is held" for row in rows if row.hold_id is not None and row.spent_at is None]
    for code, id_ in stand.purse.told.items():
        if spent.get(code) != id_ or kept[id_] != "COMPLETE":
            found.append(f"code {code} was told spent on {id_}, and is not")
    for code, id_ in stand.purse.promised.items():
        if done.get(id_) != "COMPLETE" or spent.get(code) != id_:
            found.append(f"{id_} was promised for {code}, and is {done.get(id_)}")
    return found


def said(log: Path) -> list[str]:
    """Lines of the gateway's log that must not be there."""
    # nobody dies in a load, so that nothing is left by the dead
    words = (
        "not foreseen",
        "left by a dead process",
        "Traceback",
        "was destroyed",
        "never retrieved",
        "never awaited",
    )
    return [line[:400] for line in log.read_text().splitlines() if any(word in line for word in words)]


async def metrics(stand: Stand) -> dict[str, float]:
    """Those without labels, as /metrics tells them."""
    async with stand.session.get(f"{stand.url}/metrics", headers={"X-API-Key": ADMIN}) as answer:
        text = await answer.text()
    return {name: float(value) for name, value in re.findall(r"^(\w+) ([0-9.e+-]+)$", text, re.M)}


def _files(pid: int) -> Counter[str]:
    found: Counter[str] = Counter()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            name = str(link.readlink())
        except OSError:
            continue
        kind = name.split(":")[0] if ":" in name and not name.startswith("/") else "other"
        found["database" if "clipwire.db" in name else "spool" if "/spools-" in name else kind] += 1
    return found


def _pss_kb(pid: int) -> int:
    return int(re.findall(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)[0])


def _on_disk(data: Path) -> tuple[str, ...]:
    spools = [path for path in data.glob("spools/spools-*/*") if path.name != "lock"]
    uploads = [path for path in data.glob("uploads/*") if path.name != ".id"]
    return tuple(str(path.relative_to(data)) for path in (*spools, *uploads))


async def _count(stand: Stand, query: "sa.Select[tuple[int]]") -> int:
    async with stand.database.reading() as tx:
        return int((await tx.execute(query)).scalar_one())
