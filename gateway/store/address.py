"""A database's address to what is opened. Pure."""

from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

# of libpq, and common in addresses that hosters hand out; asyncpg would tell them to the server
PASSED_OVER = {
    "channel_binding", "connect_timeout", "gssencmode", "keepalives", "keepalives_count",
    "keepalives_idle", "keepalives_interval", "tcp_user_timeout",
}  # fmt: skip


def read(url: str) -> Path | str:
    """The file of an SQLite address, or a PostgreSQL one as asyncpg reads it: there is a secret in it.

    The address is one that the settings have let through.
    """
    parts = urlsplit(url)
    if parts.scheme.partition("+")[0] == "sqlite":
        return Path(unquote(parts.path[1:]))  # sqlite:///here, sqlite:////from/the/root
    told = [(name, value) for name, value in parse_qsl(parts.query) if name not in PASSED_OVER]
    query = f"?{urlencode(told)}" if told else ""
    return f"postgresql://{parts.netloc}{parts.path}{query}"


def place(url: str) -> str:
    """Host and name of a PostgreSQL address, without who logs in; nothing of one that is not clear."""
    parts = urlsplit(url)
    if "@" in parts.path + parts.query:  # a password that was not escaped, perhaps
        return "(its address has an @ behind the host)"
    query = dict(parse_qsl(parts.query))
    host = parts.netloc.rpartition("@")[2] or query.get("host", "")
    name = unquote(parts.path[1:]) or query.get("dbname", "")
    return f"{host}/{name}"
