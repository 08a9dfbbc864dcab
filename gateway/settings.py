"""Every setting: name, default, bound, reason; read from the environment once.

A name is `GATEWAY_` and the field in capitals; a few common names of platforms are honoured
beside it. A `.env` file in the working folder is read; the environment wins.
"""

import os
import re
from functools import cached_property
from importlib.util import find_spec
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Literal, get_args
from urllib.parse import quote

import msgspec
from pydantic import AliasChoices, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from gateway import addresses

GIB = 1 << 30
CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container: microseconds of CPU in each so many
SCRAPERAPI = "proxy-server.scraperapi.com:8001"
FULL_S_MAX = 365 * 24 * 3600  # a bucket's time in microseconds must be exact in Redis too: below 2**53


class Rate(msgspec.Struct, frozen=True):
    """A bucket: full at first, with a token for each call, and filled again at a steady rate.

    Raises ValueError where it would hold nothing, or take more than a year to fill.
    """

    capacity: int
    refill_per_s: float

    def __post_init__(self) -> None:
        if self.capacity < 1 or not 0 < self.refill_per_s <= 1_000_000:
            raise ValueError("a rate has a capacity of at least 1 and a refill above 0, at most 1000000")
        if self.capacity / self.refill_per_s > FULL_S_MAX:
            raise ValueError("a rate fills its capacity within a year")

    @property
    def interval_us(self) -> int:
        """How long one token takes."""
        return round(1_000_000 / self.refill_per_s)


def _data_dir() -> Path:
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "clipwire"


def _also(name: str, common: str) -> AliasChoices:
    return AliasChoices(f"GATEWAY_{name}", common)


def _parts(value: object) -> object:
    return (
        tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
    )


# names of accounts; some have a meaning of their own
OWNER = r"(?!(?:anyone|operator|api-key)$)[A-Za-z0-9][A-Za-z0-9 ._@+-]{0,99}"

OpenScope = Literal["download", "transcribe", "extract"]


class Settings(BaseSettings):
    """The settings of one process; docs/settings.md lists the same."""

    model_config = SettingsConfigDict(
        env_prefix="GATEWAY_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True,
        populate_by_name=True, hide_input_in_errors=True,  # it may be a secret
    )  # fmt: skip

    # where it listens
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(
        8000, ge=0, le=65535, validation_alias=_also("PORT", "PORT"), description="Port; 0 takes a free one."
    )
    shutdown_s: float = Field(30, ge=0, le=600, description="How long open streams may finish at shutdown.")
    git_sha: str = Field(
        "unknown", validation_alias=_also("GIT_SHA", "GIT_SHA"), description="What was built, as it is told."
    )
    build_time: str = Field(
        "unknown", validation_alias=_also("BUILD_TIME", "BUILD_TIME"), description="When it was built."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", validation_alias=_also("LOG_LEVEL", "LOG_LEVEL"), description="Least level that is logged."
    )
    debug_mode: bool = Field(
        False, validation_alias=_also("DEBUG_MODE", "DEBUG_MODE"),
        description="Log all there is, as log level debug does.",
    )  # fmt: skip
    enable_metrics: bool = Field(
        True, validation_alias=_also("ENABLE_METRICS", "ENABLE_METRICS"),
        description="Tell metrics at /metrics: with the admin key, or without one on this machine.",
    )  # fmt: skip
    otlp_endpoint: str | None = Field(
        None, validation_alias=_also("OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        description="Address of a collector of traces that speaks OTLP over HTTP.",
    )  # fmt: skip
    sentry_dsn: SecretStr | None = Field(
        None, validation_alias=_also("SENTRY_DSN", "SENTRY_DSN"),
        description="Where errors that nobody foresaw are told.",
    )  # fmt: skip
    gcp_project_id: str | None = Field(
        None, validation_alias=_also("GCP_PROJECT_ID", "GCP_PROJECT_ID"),
        description="Project of Google Cloud that gets the log too.",
    )  # fmt: skip
    gcp_log_name: str = Field(
        "clipwire", validation_alias=_also("GCP_LOG_NAME", "GCP_LOG_NAME"), description="Its name there."
    )
    google_application_credentials: Path | None = Field(
        None, validation_alias=_also("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_APPLICATION_CREDENTIALS"),
        description="File with the credentials for it; else as the machine has them.",
    )  # fmt: skip
    connections_max: int = Field(
        10_000, ge=1, description="Connections open at once; never more than half of the descriptors."
    )
    address_connections_max: int = Field(
        0, ge=0, description="Those of one address; 0 is half of all that may be open."
    )
    head_s: float = Field(
        15, gt=0, le=600, description="Deadline for the head of a request, once it has begun."
    )
    body_bytes_max: int = Field(65_536, ge=1024, description="Largest JSON request body.")
    client_stall_s: float = Field(
        120, gt=0, description="A client that takes no byte for so long is disconnected."
    )
    body_s: float = Field(20, gt=0, le=600, description="Deadline for a whole JSON request body.")
    upload_bytes_max: int = Field(512 << 20, ge=1024, description="Largest request body of media.")
    upload_s: float = Field(1800, gt=0, description="Deadline for a whole request body of media.")
    upload_stall_s: float = Field(
        30, gt=0, le=600, description="A request body of media without a byte for so long has failed."
    )

    # who may call, and how much
    admin_key: SecretStr | None = Field(
        None, min_length=16, description="Key of the operator, who issues codes and sees every transcript."
    )
    api_key: SecretStr | None = Field(
        None, validation_alias=_also("API_KEY", "API_KEY"),
        description="One key for everything but what is the operator's.",
    )  # fmt: skip
    api_keys_json: SecretStr | None = Field(
        None, validation_alias=_also("API_KEYS_JSON", "API_KEYS_JSON"),
        description="JSON of keys and their owners, for signed calls only.",
    )  # fmt: skip
    api_secret: SecretStr | None = Field(
        None, validation_alias=_also("API_SECRET", "API_SECRET"),
        description="What signed calls are signed with.",
    )  # fmt: skip
    replay_refused: bool = Field(True, description="Answer a signature once.")
    open: Annotated[tuple[OpenScope, ...], NoDecode] = Field(
        (), description="What may be called without a key: download, transcribe, extract; or true for all."
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Networks of proxies before the gateway, whose X-Forwarded-For is believed."
    )
    streams_max: int = Field(32, ge=1, description="Requests that one caller may have open at once.")
    rate_limit_capacity: int = Field(
        60, ge=1, le=1_000_000,
        validation_alias=_also("RATE_LIMIT_CAPACITY", "RATE_LIMIT_CAPACITY"),
        description="Calls that one caller may make at once.",
    )  # fmt: skip
    rate_limit_refill_per_sec: float = Field(
        1.0, gt=0, le=1_000_000,
        validation_alias=_also("RATE_LIMIT_REFILL_PER_SEC", "RATE_LIMIT_REFILL_PER_SEC"),
        description="Calls a second that one caller may go on making.",
    )  # fmt: skip
    requests_per_minute_max: int = Field(
        60, ge=1, le=1_000_000,
        validation_alias=_also("REQUESTS_PER_MINUTE_MAX", "MAX_REQUESTS_PER_MINUTE"),
        description="Calls a minute that one caller may make to the analyzer's routes.",
    )  # fmt: skip
    month_bytes_max: int | None = Field(None, ge=0, description="Bytes that an account may get in a month.")
    month_audio_s_max: float | None = Field(
        None, ge=0, description="Seconds of audio that an account may have recognised in a month."
    )
    stored_bytes_max: int | None = Field(
        None, ge=0, description="Bytes of transcripts that may be kept for an account."
    )

    # what it keeps
    data_dir: Path = Field(
        default_factory=_data_dir, description="Folder for models, spools, the secret and the database."
    )
    spool_bytes_max: int = Field(10 * GIB, ge=1 << 20, description="Disk for spools, finished ones included.")
    spool_s: float = Field(1800, ge=0, description="How long a finished spool is kept as cache.")
    part_bytes_max: int = Field(GIB, ge=1 << 16, description="Largest single video, photo or sound.")
    secret: SecretStr | None = Field(
        None, min_length=16, description="What links are signed with; else made once, in the data folder."
    )
    link_s: float = Field(3600, gt=0, description="How long the link of a part is good.")
    database_url: SecretStr | None = Field(
        None, validation_alias=_also("DATABASE_URL", "DATABASE_URL"),
        description="Where codes, transcripts and jobs are kept; else in SQLite, in the data folder.",
    )  # fmt: skip
    database_migrate: bool = Field(True, description="Bring the tables of the database up to date at start.")
    lease_s: float = Field(
        60, ge=1, le=3600, description="After so long, what a process that died had held is free again."
    )
    webhook_allow: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Hosts, separated by commas, that webhooks may go to also where they are private."
    )
    transcript_rows_s: float = Field(
        2_592_000, ge=0, description="How long transcripts stay in the database; 0 is for ever."
    )

    # what gateways share
    redis_url: SecretStr | None = Field(
        None, validation_alias=_also("REDIS_URL", "REDIS_URL"),
        description="Where limits and caches are shared with other gateways; else each has its own.",
    )  # fmt: skip
    redis_prefix: str = Field(
        "clipwire", pattern=r"^[!-~]{1,64}$", description="What the keys in Redis begin with."
    )
    redis_s: float = Field(
        0.5, gt=0, le=10, description="Deadline for an answer of Redis; then it is left alone for a while."
    )
    cache_enabled: bool = Field(
        True, validation_alias=_also("CACHE_ENABLED", "CACHE_ENABLED"),
        description="Keep extracted posts, and what was found out about them.",
    )  # fmt: skip
    cache_ttl_s: float = Field(
        3600, ge=0, validation_alias=_also("CACHE_TTL_S", "CACHE_TTL_SECONDS"),
        description="How long anything stays in that cache.",
    )  # fmt: skip
    cache_bytes_max: int = Field(64 << 20, ge=0, description="Memory for that cache, where Redis has it not.")

    # the site
    proxy_url: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="HTTP proxies for the site, separated by commas: http://[user:password@]host:port."
    )
    proxy_ca_file: Path | None = Field(
        None, description="PEM file of the CA that such a proxy signs with; trusted for the site only."
    )
    scraperapi_key: SecretStr | None = Field(
        None, min_length=1, validation_alias=_also("SCRAPERAPI_KEY", "SCRAPERAPI_KEY"),
        description="Key of ScraperAPI, whose proxy is used where no other is set.",
    )  # fmt: skip
    origin_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="More host suffixes that media may come from, separated by commas."
    )
    cookies_file: Path | None = Field(
        None, description="Netscape cookie file of a signed-in viewer, for posts that need one."
    )
    canary_url: str | None = Field(None, description="A post that is read now and then, to see how it goes.")
    canary_s: float = Field(900, ge=1, description="How often that is, and a look at yt-dlp's version.")
    extract_processes: int = Field(2, ge=1, le=32, description="Extractor processes.")
    extract_waiting_max: int = Field(64, ge=0, description="Extractions that may wait for a process.")
    extract_s: float = Field(
        20, gt=0, le=300, description="Deadline of one extraction; it waits half as long for a process."
    )
    extractions_max: int = Field(
        5, ge=1, le=1024, validation_alias=_also("EXTRACTIONS_MAX", "MAX_CONCURRENT_EXTRACTIONS"),
        description="Posts extracted at once for the analyzer's routes.",
    )  # fmt: skip
    batch_urls_max: int = Field(
        50, ge=1, le=1000, description="Addresses in one batch whose results are streamed."
    )
    extract_cache_s: float = Field(300, ge=0, description="How long an extracted post is kept at the most.")
    origin_reads_max: int = Field(16, ge=1, le=1024, description="Media reads open at once at the site.")
    stall_s: float = Field(
        15, gt=0, le=300, description="A media read without a byte for so long has failed."
    )
    part_s: float = Field(1800, gt=0, description="Deadline of one media read.")
    caption_s: float = Field(10, gt=0, le=300, description="Deadline for the file of a post's captions.")
    video_duration_max: float = Field(
        3600, gt=0, validation_alias=_also("VIDEO_DURATION_MAX", "MAX_VIDEO_DURATION"),
        description="Longest post or upload in seconds, for every route.",
    )  # fmt: skip
    renders: int = Field(2, ge=1, le=64, description="Slideshows rendered at once, each in a process.")
    render_s: float = Field(60, gt=0, le=600, description="Deadline of one render, and of the wait for it.")
    boundary_fixed: bool = Field(
        False, description="Use the bare word simple_boundary, for clients that cannot read the header."
    )

    # speech
    model: str = Field("base", description="Whisper model: a name, or a folder with a CTranslate2 model.")
    device: Literal["cpu", "cuda"] = Field("cpu", description="What the model runs on.")
    compute_type: str = Field("int8", description="CTranslate2 compute type.")
    beam_size: int = Field(5, ge=1, le=16, description="Beam of the decoder.")
    workers: int = Field(0, ge=0, le=256, description="Speech workers; 0 is one per core.")
    worker_threads: int = Field(1, ge=1, le=64, description="Threads of one worker.")
    worker_windows_max: int = Field(
        2000, ge=0, description="Windows after which a worker is replaced; 0 is never."
    )
    worker_growth_bytes_max: int = Field(
        GIB, ge=0, description="Memory that a worker may gain before it is replaced; 0 is any."
    )
    encoder_silence_s: float | None = Field(
        None,
        ge=2,
        le=30,
        description="Silence that the encoder hears after a window; 30 is the full context.",
    )
    transcripts_max: int = Field(
        64, ge=1, description="Transcripts running at once; more are refused as BUSY."
    )
    transcript_s: float = Field(3600, ge=0, description="How long a finished transcript is kept.")
    transcript_bytes_max: int = Field(64 << 20, ge=0, description="Memory for finished transcripts.")
    window_s: float = Field(120, gt=0, description="Deadline of a worker for one batch; then it is replaced.")
    model_hub_s: float = Field(10, gt=0, description="How long the model hub is tried before the wheels.")
    cluster_address: str | None = Field(
        None, description="host:port of a Ray cluster that recognises; else workers on this machine do."
    )
    cluster_replicas_min: int = Field(1, ge=1, le=4096, description="Workers in the cluster, at least.")
    cluster_replicas_max: int = Field(
        16, ge=1, le=4096, description="Workers in the cluster when there is much to do."
    )
    cluster_queue_max: int = Field(
        256, ge=1, description="Windows of one gateway that wait in the cluster; more wait in the gateway."
    )

    # thumbnails
    openai_api_key: SecretStr | None = Field(
        None, validation_alias=_also("OPENAI_API_KEY", "OPENAI_API_KEY"),
        description="Key of the vision API; without it no thumbnail is analysed.",
    )  # fmt: skip
    openai_base_url: str | None = Field(
        None, validation_alias=_also("OPENAI_BASE_URL", "OPENAI_BASE_URL"),
        description="Address of an API shaped like OpenAI's, up to before /chat/completions.",
    )  # fmt: skip
    vision_model: str = Field("gpt-4o", min_length=1, description="The model that looks at thumbnails.")
    vision_s: float = Field(60, gt=0, le=600, description="Deadline of one analysis, with all it takes.")
    vision_parallel: int = Field(4, ge=1, le=256, description="Analyses at once.")
    vision_input_price: float | None = Field(
        None, ge=0, description="What a million tokens into the model cost."
    )
    vision_output_price: float | None = Field(
        None, ge=0, description="What a million tokens out of the model cost."
    )
    analysis_language: str = Field(
        "en", validation_alias=_also("ANALYSIS_LANGUAGE", "DEFAULT_ANALYSIS_LANGUAGE"),
        description="The language that thumbnails are described in, unless a request names another.",
    )  # fmt: skip

    @field_validator("proxy_url")
    @classmethod
    def _proxies(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for number, url in enumerate(urls, 1):
            if not addresses.proxy(url):  # without the address: there is a password in it
                raise ValueError(f"proxy {number} is not http://[user:password@]host:port")
        return urls

    @field_validator("database_url")
    @classmethod
    def _database(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not addresses.database(url.get_secret_value()):
            raise ValueError(  # without the address: there is a password in it
                "the address is not postgresql://[user:password@]host/name or sqlite:///path"
                " (special characters in a password are written as %XX)"
            )
        return url

    @field_validator("openai_base_url")
    @classmethod
    def _api(cls, url: str | None) -> str | None:
        if url is not None and not addresses.api(url):
            raise ValueError("the address is not http[s]://host[:port][/path]")
        return url

    @field_validator("rate_limit_refill_per_sec")
    @classmethod
    def _rate(cls, refill: float, given: ValidationInfo) -> float:
        if capacity := given.data.get("rate_limit_capacity"):
            Rate(capacity, refill)
        return refill

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not addresses.redis(url.get_secret_value()):
            raise ValueError(  # without the address: there is a password in it
                "the address is not redis://[user:password@]host[:port][/number], rediss://... or"
                " unix:///path (special characters in a password are written as %XX)"
            )
        if url is not None and find_spec("redis") is None:
            raise ValueError("the package for it is missing: pip install clipwire[redis]")
        return url

    @field_validator("cluster_address")
    @classmethod
    def _cluster(cls, address: str | None) -> str | None:
        if address is not None and not addresses.cluster(address):
            raise ValueError("the address is not host:port, as of Ray's head")
        if address is not None and find_spec("ray") is None:
            raise ValueError("the package for it is missing: pip install clipwire[cluster]")
        return address

    @field_validator("otlp_endpoint")
    @classmethod
    def _collector(cls, url: str | None) -> str | None:
        if url is not None and not addresses.collector(url):
            raise ValueError("the address is not http://host:port, as of an OTLP collector")
        return url

    @field_validator("cookies_file")
    @classmethod
    def _cookies(cls, file: Path | None) -> Path | None:
        if file is None:
            return None
        try:
            text = file.read_text("utf-8", "replace")
        except OSError as failure:
            raise ValueError(f"the file cannot be read: {failure.strerror}") from None
        if not any(line.count("\t") == 6 for line in text.splitlines()):
            raise ValueError("the file is not in the Netscape format: seven fields with tabs between them")
        return file

    @field_validator("api_keys_json")
    @classmethod
    def _signed(cls, kept: SecretStr | None) -> SecretStr | None:
        if kept is None:
            return None
        try:
            owners = msgspec.json.decode(kept.get_secret_value(), type=dict[str, str])
            good = all(key and re.fullmatch(OWNER, owner, re.ASCII) for key, owner in owners.items())
        except msgspec.MsgspecError:
            good = False
        if not good:  # without the text: there are keys in it
            raise ValueError('it is not JSON such as {"a key": "its owner"}, an owner of letters and digits')
        return kept

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        for one in networks:
            ip_network(one, strict=False)
        return networks

    @field_validator("open", mode="before")
    @classmethod
    def _opened(cls, value: object) -> object:
        match str(value).lower() if isinstance(value, str | bool) else None:
            case "true" | "1" | "yes" | "on":
                return get_args(OpenScope)
            case "false" | "0" | "no" | "off":
                return ()
        return _parts(value)

    @field_validator("origin_hosts", "proxy_url", "webhook_allow", "trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return _parts(value)

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @property
    def least_level(self) -> str:
        """The least level that is logged."""
        return "debug" if self.debug_mode else self.log_level

    @property
    def proxies(self) -> tuple[str, ...]:
        """The proxies for the site. There are secrets in them."""
        if self.proxy_url or self.scraperapi_key is None:
            return self.proxy_url
        return (f"http://scraperapi:{quote(self.scraperapi_key.get_secret_value(), safe='')}@{SCRAPERAPI}",)

    @cached_property
    def rate(self) -> Rate:
        """How often a caller may call."""
        return Rate(self.rate_limit_capacity, self.rate_limit_refill_per_sec)

    @cached_property
    def analyzer_rate(self) -> Rate:
        """How often the analyzer's routes."""
        return Rate(self.requests_per_minute_max, self.requests_per_minute_max / 60)

    @cached_property
    def signed_keys(self) -> dict[str, str]:
        """The keys that count in signed calls, and whose they are."""
        if self.api_keys_json is None:
            return {}
        return msgspec.json.decode(self.api_keys_json.get_secret_value(), type=dict[str, str])

    @cached_property
    def keyed(self) -> bool:
        """Whether the settings have any key."""
        return any((self.admin_key, self.api_key, self.signed_keys))

    @cached_property
    def loopback(self) -> bool:
        """Whether only this machine can reach the gateway."""
        try:
            return self.host == "localhost" or ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def post_s(self) -> float:
        """How long an extracted post is kept at the most."""
        return min(self.extract_cache_s, self.cache_ttl_s) if self.cache_enabled else 0

    @property
    def model_name(self) -> str:
        """What the model is called, also where it was given as a folder."""
        return Path(self.model).name

    @property
    def worker_count(self) -> int:
        """Workers to start: workers x threads never exceed the cores (twice the threads ran 4x slower)."""
        return min(self.workers, self.workers_max) if self.workers else self.workers_max

    @property
    def workers_max(self) -> int:
        """As many as this machine is good for."""
        return max(1, cores() // self.worker_threads)


def cores(quota_file: Path = CPU_QUOTA) -> int:
    """The cores that this process may use: those it is bound to, and what a container's quota comes to."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = quota_file.read_text().split()
        return min(bound, max(1, int(quota) // int(period)))
    except (OSError, ValueError):  # no such file, or "max": no quota
        return bound
