"""What passes between the gateway, its driver of the cluster, and the replicas there."""

import msgspec

from gateway.settings import Settings
from gateway.speech.messages import Job, Recognised


class Plan(msgspec.Struct, frozen=True):
    """What a replica is. Where the nodes' own settings differ, these count, but for the data folder."""

    model: str  # a name, or a folder that each node has
    device: str
    compute_type: str
    threads: int
    beam_size: int
    encoder_silence_s: float | None
    window_s: float
    windows_max: int
    growth_bytes_max: int
    hub_s: float
    otlp_endpoint: str | None
    replicas_min: int
    replicas_max: int
    queue_max: int

    @classmethod
    def of(cls, settings: Settings) -> "Plan":
        """The plan that the settings make."""
        return cls(
            model=settings.model,
            device=settings.device,
            compute_type=settings.compute_type,
            threads=settings.worker_threads,
            beam_size=settings.beam_size,
            encoder_silence_s=settings.encoder_silence_s,
            window_s=settings.window_s,
            windows_max=settings.worker_windows_max,
            growth_bytes_max=settings.worker_growth_bytes_max,
            hub_s=settings.model_hub_s,
            otlp_endpoint=settings.otlp_endpoint,
            replicas_min=settings.cluster_replicas_min,
            replicas_max=max(settings.cluster_replicas_min, settings.cluster_replicas_max),
            queue_max=settings.cluster_queue_max,
        )

    @property
    def name(self) -> str:
        """What its application is called: gateways of another model have another one."""
        return f"clipwire-{self.model.rstrip('/').rpartition('/')[2]}"

    @property
    def gpus(self) -> int:
        """How many a replica takes for itself."""
        return 0 if self.device == "cpu" else 1


# to the driver


class Order(msgspec.Struct, frozen=True, tag="order"):
    """A window for the cluster."""

    number: int
    job: Job
    alone: bool  # in no batch: a first window, or one that was tried before


class Drop(msgspec.Struct, frozen=True, tag="drop"):
    """Nobody waits for an order any more."""

    number: int


ToDriver = Order | Drop


# from the driver; the first of each order come from its replica


class Begun(msgspec.Struct, frozen=True, tag="begun"):
    """A replica is at work on an order."""

    number: int
    replica: str


class Known(msgspec.Struct, frozen=True, tag="known"):
    """The language of an order's window, told before its text."""

    number: int
    language: str
    probability: float | None


class Done(msgspec.Struct, frozen=True, tag="done"):
    """An order's answer, and its share of the replica's time."""

    number: int
    recognised: Recognised
    worked_s: float


class Full(msgspec.Struct, frozen=True, tag="full"):
    """The cluster's queue took no more."""

    number: int


class Lost(msgspec.Struct, frozen=True, tag="lost"):
    """There will be no answer to an order: its replica died, or failed."""

    number: int
    failure: str


class State(msgspec.Struct, frozen=True, tag="state"):
    """How the cluster stands; told again and again."""

    session: str  # of the head: a new one remembers nothing; empty: none is reached
    deployed: bool
    replicas: int  # that have their model
    wanted: int
    trouble: str | None = None


FromReplica = Begun | Known | Done
FromDriver = FromReplica | Full | Lost | State

from_driver: msgspec.msgpack.Decoder[FromDriver] = msgspec.msgpack.Decoder(FromDriver)
to_driver: msgspec.msgpack.Decoder[ToDriver] = msgspec.msgpack.Decoder(ToDriver)
