"""Every setting: name, default, bound, reason; read from the environment once.

A name is `GATEWAY_` and the field in capitals; a few common names of platforms are honoured
beside it. A `.env` file in the working folder is read; the environment wins.
"""

import os
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

GIB = 1 << 30


def _data_dir() -> Path:
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "clipwire"


def _also(name: str, common: str) -> AliasChoices:
    return AliasChoices(f"GATEWAY_{name}", common)


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
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", validation_alias=_also("LOG_LEVEL", "LOG_LEVEL"), description="Least level that is logged."
    )
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
    admin_key: SecretStr | None = Field(
        None, min_length=16, description="Key of the operator, who issues codes and sees every transcript."
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

    # the site
    proxy_url: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="HTTP proxies for the site, separated by commas: http://[user:password@]host:port."
    )
    proxy_ca_file: Path | None = Field(
        None, description="PEM file of the CA that such a proxy signs with; trusted for the site only."
    )
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

    @field_validator("proxy_url")
    @classmethod
    def _proxies(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for number, url in enumerate(urls, 1):
            try:
                parts = urlsplit(url)
                good = parts.scheme in ("http", "https") and bool(parts.hostname and parts.port)
            except ValueError:
                good = False
            if not good:  # without the address: there is a password in it
                raise ValueError(f"proxy {number} is not http://[user:password@]host:port")
        return urls

    @field_validator("database_url")
    @classmethod
    def _database(cls, url: SecretStr | None) -> SecretStr | None:
        if url is None:
            return None
        try:
            parts = urlsplit(url.get_secret_value())
            scheme, _, driver = parts.scheme.partition("+")
            if scheme == "sqlite":
                good = not parts.netloc and len(parts.path) > 1 and driver in ("", "aiosqlite")
            else:
                parts.port  # noqa: B018  # raises when it is no number
                good = scheme in ("postgres", "postgresql") and (bool(parts.netloc) or "host=" in parts.query)
        except ValueError:
            good = False
        if not good or parts.fragment:  # without the address: there is a password in it
            raise ValueError(
                "the address is not postgresql://[user:password@]host/name or sqlite:///path"
                " (special characters in a password are written as %XX)"
            )
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

    @field_validator("origin_hosts", "proxy_url", "webhook_allow", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return (
            tuple(part.strip() for part in value.split(",") if part.strip())
            if isinstance(value, str)
            else value
        )

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @property
    def model_name(self) -> str:
        """What the model is called, also where it was given as a folder."""
        return Path(self.model).name

    @property
    def worker_count(self) -> int:
        """Workers to start: workers x threads never exceed the cores (twice the threads ran 4x slower)."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        most = max(1, cores // self.worker_threads)
        return min(self.workers, most) if self.workers else most
