"""What is counted and what stands, as Prometheus reads it; the only file that knows its library.

Always: a metric is one of `FAMILIES`; a label has few values, and all of them are ours: nothing that a
caller sends becomes one.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Literal

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_LATEST
# seconds: an answer from memory, one of the site, one of the model, a long stream
BUCKETS = (0.005, 0.05, 0.25, 1.0, 5.0, 30.0, 300.0)


class Family(msgspec.Struct, frozen=True):
    """A metric: its name as it is read, and what it says."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    text: str
    labels: tuple[str, ...] = ()
    together: Literal["sum", "most", "least", "beside"] = "sum"  # of several processes; beside: 1/sum(1/x)


REQUESTS = "clipwire_requests_total"
DURATION = "clipwire_request_duration_seconds"
SENT = "clipwire_sent_bytes_total"

FAMILIES = (
    Family(REQUESTS, "counter", "Requests that have ended; status none where the client left before the head",
           ("route", "dialect", "status")),
    Family(DURATION, "histogram", "From the request's head to the end of its answer", ("route", "dialect")),
    Family(SENT, "counter", "Bytes of bodies that were sent, those of open streams included"),
    Family("clipwire_requests_open", "gauge", "Requests that are open"),
    Family("clipwire_streams_open", "gauge", "Answers that are being streamed"),
    Family("clipwire_spool_hits_total", "counter", "Parts of posts that were there when they were wanted"),
    Family("clipwire_spool_misses_total", "counter", "Parts of posts that had to be read or made"),
    Family("clipwire_spools", "gauge", "Spools, growing or kept"),
    Family("clipwire_spool_bytes", "gauge", "Disk that spools take"),
    Family("clipwire_spool_limit_bytes", "gauge", "Disk that spools may take"),
    Family("clipwire_extractions_total", "counter",
           "Posts that were read from the site: ok, an error's code, or left by all who asked", ("outcome",)),
    Family("clipwire_extraction_seconds_total", "counter", "Seconds that they took"),
    Family("clipwire_post_hits_total", "counter", "Posts that were known, or being read, when asked for"),
    Family("clipwire_post_misses_total", "counter", "Posts that had to be read"),
    Family("clipwire_queue_windows", "gauge", "Windows that wait for a speech worker"),
    Family("clipwire_windows_total", "counter", "Windows that were recognised"),
    Family("clipwire_audio_seconds_total", "counter", "Seconds of sound that were recognised"),
    Family("clipwire_worker_busy_seconds_total", "counter", "Seconds that speech workers were at work"),
    Family("clipwire_real_time_factor_ratio", "gauge",
           "Seconds that all workers together take for a second of sound, lately; below 1 keeps up",
           together="beside"),
    Family("clipwire_workers", "gauge", "Speech workers that have their model"),
    Family("clipwire_workers_wanted", "gauge", "Speech workers that there are meant to be"),
    Family("clipwire_worker_restarts_total", "counter",
           "Speech workers that were replaced: lost, worn, or freed of work for nobody",
           ("reason",)),
    Family("clipwire_transcripts_running", "gauge", "Transcripts that run"),
    Family("clipwire_transcripts_total", "counter",
           "Transcripts that have ended: ok, an error's code, or left by all readers", ("end",)),
    Family("clipwire_transcripts_unwritten", "gauge", "Transcripts that wait for their row"),
    Family("clipwire_jobs", "gauge", "Jobs in the database, by state; not told while it is away",
           ("state",), together="most"),
    Family("clipwire_database_up", "gauge", "1 where the database answers with tables of ours",
           together="least"),
    Family("clipwire_redis_up", "gauge", "1 where Redis answers; not told where none is set",
           together="least"),
    Family("clipwire_loop_lag_seconds", "gauge", "The most that the event loop was late in half a minute",
           together="most"),
    Family("clipwire_resident_bytes", "gauge", "Memory of the processes of a kind", ("process",)),
    Family("clipwire_uptime_seconds", "gauge", "Since the start", together="most"),
    Family("clipwire_build_info", "gauge", "Always 1; the version is its label", ("version",),
           together="most"),
)  # fmt: skip

_BY_NAME = {family.name: family for family in FAMILIES}


class Reading(msgspec.Struct, frozen=True):
    """What a metric is just now, for some values of its labels."""

    name: str
    value: float
    labels: tuple[str, ...] = ()


class Snapshot(msgspec.Struct, frozen=True):
    """What one process has counted, and how everything stands in it."""

    ended: list[tuple[tuple[str, str, str], int]] = []
    times: list[tuple[tuple[str, str], list[int], float]] = []  # how many by bucket, and their sum
    readings: list[Reading] = []

    @property
    def counted(self) -> "Snapshot":
        """What stays true when the process is gone."""
        counters = [one for one in self.readings if _BY_NAME[one.name].kind == "counter"]
        return Snapshot(self.ended, self.times, counters)


class Metrics:
    """The requests so far; everything else is read from its place when somebody looks."""

    def __init__(self) -> None:
        self._ended: Counter[tuple[str, str, str]] = Counter()
        self._times: dict[tuple[str, str], _Times] = {}
        self._sent_bytes = 0

    @property
    def requests(self) -> int:
        """Requests that have ended."""
        return self._ended.total()

    def request(self, route: str, dialect: str, status: str, *, seconds: float, sent_bytes: int) -> None:
        """A request has ended. Some hundred nanoseconds: it is done for each."""
        self._ended[route, dialect, status] += 1
        times = self._times.get((route, dialect))
        if times is None:
            times = self._times[route, dialect] = _Times()
        times.add(seconds)
        self._sent_bytes += sent_bytes

    def snapshot(self, readings: Iterable[Reading], *, sending_bytes: int = 0) -> Snapshot:
        """All of it just now; `sending_bytes` are those of open streams."""
        return Snapshot(
            list(self._ended.items()),
            [(names, list(times.counts), times.sum_s) for names, times in self._times.items()],
            [
                Reading(one.name, float(one.value), one.labels)  # it may be a bool, which is no number there
                for one in (*readings, Reading(SENT, self._sent_bytes + sending_bytes))
            ],
        )

    def text(self, readings: Iterable[Reading], *, sending_bytes: int = 0) -> bytes:
        """The same, as Prometheus wants it."""
        return text([self.snapshot(readings, sending_bytes=sending_bytes)])


def text(snapshots: Sequence[Snapshot]) -> bytes:
    """Those of one process, or of several together, as Prometheus wants them."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Told(snapshots))
    return generate_latest(registry)


class _Told(Collector):
    def __init__(self, snapshots: Sequence[Snapshot]) -> None:
        self._snapshots = snapshots

    def collect(self) -> Iterator[Metric]:
        """As a Collector has it."""
        ended: Counter[tuple[str, str, str]] = Counter()
        together: dict[tuple[str, str], _Times] = {}
        readings: dict[tuple[str, tuple[str, ...]], list[float]] = {}
        for one in self._snapshots:
            for labels, count in one.ended:
                ended[labels] += count
            for names, counts, sum_s in one.times:
                together.setdefault(names, _Times()).add_all(counts, sum_s)
            for reading in one.readings:
                readings.setdefault((reading.name, reading.labels), []).append(reading.value)
        durations = HistogramMetricFamily(DURATION, _BY_NAME[DURATION].text, labels=_BY_NAME[DURATION].labels)
        for names, times in together.items():
            durations.add_metric(names, times.buckets, times.sum_s)
        yield durations
        values: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        for family in FAMILIES:
            if family.kind != "histogram":
                kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
                values[family.name] = kind(family.name, family.text, labels=family.labels)
        for labels, count in ended.items():
            values[REQUESTS].add_metric(labels, count)
        for (name, its), found in readings.items():
            values[name].add_metric(its, _together(_BY_NAME[name], found))
        yield from values.values()


def _together(family: Family, values: Sequence[float]) -> float:
    match family.together:
        case "sum":
            return sum(values)
        case "most":
            return max(values)
        case "least":
            return min(values)
        case "beside":
            return 1 / sum(1 / value for value in values)


class _Times:
    """How long requests took: how many no longer than each bound, and their sum."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.sum_s = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.sum_s += seconds

    def add_all(self, counts: Sequence[int], sum_s: float) -> None:
        self.counts = [one + more for one, more in zip(self.counts, counts, strict=True)]
        self.sum_s += sum_s

    @property
    def buckets(self) -> list[tuple[str, float]]:
        names = (*(str(bound) for bound in BUCKETS), "+Inf")
        return list(zip(names, accumulate(self.counts), strict=True))
