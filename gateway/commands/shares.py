"""The bounds of a machine, shared out to the gateways on it. Pure."""

from gateway.settings import Settings

# and the least that one of them takes. What is not here is of a caller, a request or a process's descriptors
MACHINES = {
    "spool_bytes_max": 1 << 20, "cache_bytes_max": 0, "transcript_bytes_max": 0, "transcripts_max": 1,
    "extract_processes": 1, "extract_waiting_max": 0, "extractions_max": 1, "origin_reads_max": 1,
    "renders": 1, "vision_parallel": 1,
}  # fmt: skip


def shared(settings: Settings, count: int, number: int) -> dict[str, str]:
    """What of them the gateway of that number has, as its environment: with the others, all there is."""
    most = {name: getattr(settings, name) for name in MACHINES} | {"workers": settings.worker_count}
    return {
        f"GATEWAY_{name.upper()}": str(max(MACHINES.get(name, 1), share(whole, count, number)))
        for name, whole in most.items()
    }


def share(whole: int, count: int, number: int) -> int:
    """One of so many parts that differ by one at the most."""
    return whole // count + (number < whole % count)
