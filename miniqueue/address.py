"""Address: which Redis a URL names, read without showing its password to anybody.

    redis://user:password@host:6379/0                         one Redis
    rediss://host:6380/0?ssl_ca_certs=/etc/ca.pem             the same over TLS
    unix:///run/valkey.sock                                   the same over a socket of this machine
    redis+sentinel://a:26379,b:26379,c:26379/service          the primary that Sentinel names
    redis+cluster://a:6379,b:6379                             a cluster, found through any node

`rediss+sentinel` and `rediss+cluster` are the same over TLS. Messages never repeat what stands
before the last `@`, nor a value of the query.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from miniqueue.errors import ConfigError

__all__ = ["Address", "Place", "parse"]

SCHEME = re.compile(r"(redis|rediss)(?:\+(sentinel|cluster))?|unix")
PLACE = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.%]+)\]|(?P<host>[^\s:@\[\]]*))(?::(?P<port>\d{1,5}))?"
)
PORTS = {"": 6379, "sentinel": 26379, "cluster": 6379}
TLS = {
    "ssl_ca_certs": str,  # the file of the authority that signed the server's certificate
    "ssl_ca_path": str,
    "ssl_certfile": str,  # our own certificate, where the server asks for one
    "ssl_keyfile": str,
    "ssl_cert_reqs": str,
    "ssl_check_hostname": lambda text: text.lower() in ("1", "true", "yes"),
}
QUERY = {
    **TLS,
    "db": int,
    "client_name": str,
    "socket_connect_timeout": float,
    "health_check_interval": int,
}
SENTINEL = {"sentinel_username": str, "sentinel_password": str}


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where one server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Address:
    """`kind` is "" (one Redis), "sentinel" or "cluster"; `options` are those of a connection."""

    kind: str
    places: tuple[Place, ...]
    options: Mapping[str, Any] = field(repr=False)
    service: str = ""
    sentinel: Mapping[str, Any] = field(default_factory=dict, repr=False)  # how to ask Sentinel

    def at(self, place: Place) -> Address:
        """One node of a cluster."""
        return Address("", (place,), self.options)


def parse(url: str) -> Address:
    """Read a Redis URL. Raises ConfigError, which tells what is wrong and not what was written.

    >>> parse("redis+sentinel://a,b:5000/main").places
    (Place(host='a', port=26379), Place(host='b', port=5000))
    """
    scheme, _, rest = url.partition("://")
    known = SCHEME.fullmatch(scheme)
    if known is None or "://" not in url:
        raise _unusable(
            "it must begin with redis://, rediss:// (TLS), unix://, redis+sentinel:// or "
            "redis+cluster://"
        )
    kind = known[2] or ""
    parts = urlsplit(f"redis://{rest}")
    query = _query(parts.query, QUERY | SENTINEL if kind == "sentinel" else QUERY)
    asked = {k.removeprefix("sentinel_"): query.pop(k) for k in SENTINEL if k in query}
    tls = scheme.startswith("rediss")
    if not tls and any(name in query for name in TLS):
        raise _unusable("ssl_ options need TLS: begin with rediss instead of redis")
    user, _, hosts = parts.netloc.rpartition("@")
    options = {**_login(user), "ssl": tls, **query}
    if scheme == "unix":
        return Address("", (), {**options, "unix_socket_path": unquote(parts.path)})
    service, options["db"] = _path(kind, parts.path, query)
    places = tuple(_place(text, kind) for text in hosts.split(","))
    if parts.fragment or (len(places) > 1 and not kind):
        raise _unusable(ENCODE)
    return Address(kind, places, options, service, asked)


ENCODE = (
    "between // and / stands user:password@host:port (several hosts with a comma only for "
    "redis+sentinel and redis+cluster); in a password, write / ? # @ : % as %2F %3F %23 %40 %3A %25"
)


def _unusable(why: str) -> ConfigError:
    return ConfigError(f"MINIQUEUE_REDIS_URL is not usable: {why}")


def _login(user: str) -> dict[str, str]:
    name, _, password = user.partition(":")
    told = {"username": unquote(name), "password": unquote(password)}
    return {key: value for key, value in told.items() if value}


def _place(text: str, kind: str) -> Place:
    found = PLACE.fullmatch(text)
    if found is None or int(found["port"] or 1) > 65_535:
        raise _unusable(ENCODE)
    return Place(
        found["six"] or unquote(found["host"]) or "localhost", int(found["port"] or PORTS[kind])
    )


def _path(kind: str, path: str, query: Mapping[str, Any]) -> tuple[str, int]:
    """The name of Sentinel's service, and the number of the database."""
    words = [unquote(word) for word in path.split("/") if word]
    service = words.pop(0) if kind == "sentinel" and words else ""
    if kind == "sentinel" and not service:
        raise _unusable(
            "after the hosts comes the name that Sentinel watches the primary under, like /mymaster"
        )
    if len(words) > 1 or (words and not words[0].isdecimal()):
        raise _unusable("the path is the number of the database, like /0; a / in a password is %2F")
    db = int(words[0]) if words else int(query.get("db", 0))
    if kind == "cluster" and db:
        raise _unusable("a cluster has no database but 0; MINIQUEUE_NAMESPACE keeps users apart")
    return service, db


def _query(text: str, known: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        if name not in known:
            raise _unusable(f"it has an unknown option; there are {', '.join(sorted(known))}")
        try:
            found[name] = known[name](value)
        except ValueError:
            raise _unusable(f"the value of {name} is not a number") from None
    return found
