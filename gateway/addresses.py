"""Which addresses settings may have, each by its scheme and form. Pure."""

from collections.abc import Callable
from functools import wraps
from urllib.parse import SplitResult, parse_qsl, urlsplit

REDIS_ALL = {"db", "username", "password"}  # parameters in the address of Redis
REDIS_TLS = {"ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname"}


def _split(good: Callable[[SplitResult], bool]) -> Callable[[str], bool]:
    """Asks of an address' parts; what has none, or a port that is no number, is not good."""

    @wraps(good)
    def asked(url: str) -> bool:
        try:
            return good(urlsplit(url))
        except ValueError:
            return False

    return asked


@_split
def proxy(parts: SplitResult) -> bool:
    """Whether it is http://[user:password@]host:port."""
    return parts.scheme in ("http", "https") and bool(parts.hostname and parts.port)


@_split
def database(parts: SplitResult) -> bool:
    """Whether it is of PostgreSQL, or of a file of SQLite."""
    if parts.fragment:
        return False
    scheme, _, driver = parts.scheme.partition("+")
    if scheme == "sqlite":
        return not parts.netloc and len(parts.path) > 1 and driver in ("", "aiosqlite")
    parts.port  # noqa: B018  # raises when it is no number
    return scheme in ("postgres", "postgresql") and (bool(parts.netloc) or "host=" in parts.query)


@_split
def api(parts: SplitResult) -> bool:
    """Whether it is http[s]://host[:port][/path]."""
    parts.port  # noqa: B018  # raises when it is no number
    return parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc


@_split
def redis(parts: SplitResult) -> bool:
    """Whether it is of Redis, with nothing in it that would go past what is said of its failures."""
    parts.port  # noqa: B018  # raises when it is no number
    named = dict(parse_qsl(parts.query, keep_blank_values=True))
    if parts.fragment or not named.get("db", "0").isdecimal():
        return False
    if parts.scheme == "unix":
        return not parts.netloc.rpartition("@")[2] and len(parts.path) > 1 and named.keys() <= REDIS_ALL
    number = parts.path.removeprefix("/")
    allowed = REDIS_ALL | REDIS_TLS if parts.scheme == "rediss" else REDIS_ALL
    return (
        parts.scheme in ("redis", "rediss")
        and bool(parts.hostname)
        and (not number or number.isdecimal())
        and named.keys() <= allowed
    )


@_split
def collector(parts: SplitResult) -> bool:
    """Whether it is http://host:port, as of an OTLP collector."""
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not (parts.query or parts.fragment)


def cluster(address: str) -> bool:
    """Whether it is host:port."""
    try:
        parts = urlsplit(f"//{address}")
        return bool(parts.hostname and parts.port) and parts.netloc == address and "@" not in address
    except ValueError:
        return False
