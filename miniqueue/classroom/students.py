"""Students of a class on one Redis: for each a namespace, a token, a Redis user and limits.

The class file holds hashes of the tokens and passwords, so that who reads it can be nobody; the
secrets themselves are on the sheet that is printed once. `redis_users()` gives Redis' half of the
fence (a user who may touch the keys of one namespace), door.py is the API's.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from miniqueue.errors import ConfigError
from miniqueue.settings import Settings, check_name

__all__ = ["LIMITS", "Class", "Entry", "Student", "hashed", "new_class", "redis_users"]

MOST = 500  # students of a class
LIMITS: Mapping[str, Any] = {  # what one student may use up; any other limit of Settings, too
    "max_queued": 1000,
    "max_queues": 20,
    "max_bulk": 500,
    "max_body_bytes": 65_536,
    "max_result_bytes": 65_536,
    "max_streams": 6,
    "max_requests_s": 50.0,
    "events_kept": 2000,
}
COMMANDS = (  # all that a queue, its workers and its inspector ask of Redis
    "-@all +blpop +del +eval +evalsha +exists +expire +get +hdel +hexists +hget +hgetall +hincrby "
    "+hlen +hmget +hset +hsetnx +lindex +llen +lpop +lpos +lpush +lrange +lrem +ltrim +persist "
    "+pexpire +rpush +sadd +scan +scard +script|load +set +sismember +sscan +time +unlink +xadd "
    "+xrange +xread +xrevrange +zadd +zcard +zrange +zrangebyscore +zrem +zremrangebyscore "
    "+zrevrange +zscore"
)


@dataclass(frozen=True, slots=True)
class Student:
    """One of the class; `name` is also the namespace and the name of the Redis user."""

    name: str
    token_sha256: str
    password_sha256: str

    def settings(self, settings: Settings, limits: Mapping[str, Any], token: str) -> Settings:
        """The settings of the API for this student, who has come with this token."""
        own = {"namespace": self.name, "api_token": token, "read_token": "", "submit_token": ""}
        return settings.but(**limits, **own)


@dataclass(frozen=True, slots=True)
class Class:
    """What a class file says."""

    name: str
    students: tuple[Student, ...]
    limits: Mapping[str, Any] = field(default_factory=lambda: dict(LIMITS))

    def __post_init__(self) -> None:
        check_name("class", self.name)
        for student in self.students:
            check_name("student", student.name)
        if len({s.name for s in self.students}) < len(self.students):
            raise ConfigError("two students of the class have the same name")
        known = {f.name for f in fields(Settings) if f.metadata["low"] is not None}
        if strange := set(self.limits) - known:
            raise ConfigError(f"limits: {min(strange)!r} is not a setting with a limit")
        Settings().but(**self.limits)  # each within its bounds

    def of_token(self, token: bytes) -> Student | None:
        """Whose token this is. Hashes are compared, which tell nothing of a token that is near."""
        found = hashed(token.decode("latin-1"))
        return next((s for s in self.students if s.token_sha256 == found), None)

    def save(self, path: Path) -> None:
        """Write the class file, for its owner alone. Raises ConfigError where there is one."""
        try:
            number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}; tokens are not made twice") from None
        with open(number, "w") as file:
            json.dump(asdict(self), file, indent=1)

    @classmethod
    def load(cls, path: Path) -> Class:
        """Read a class file. Raises ConfigError."""
        try:
            told = json.loads(path.read_text())
            students = tuple(Student(**student) for student in told["students"])
            return cls(told["name"], students, told["limits"])
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from None
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ConfigError(
                f"{path} is no class file ({error}): `miniqueue class new` writes one"
            ) from None


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the token sheet: the only place where a student's secrets stand."""

    student: str
    token: str = field(repr=False)
    redis_url: str = field(repr=False)


def new_class(
    name: str, count: int, settings: Settings, limits: Mapping[str, Any] = LIMITS
) -> tuple[Class, list[Entry]]:
    """A class of `count` students, and its token sheet. Raises ConfigError."""
    if not 1 <= count <= MOST:
        raise ConfigError(f"--students {count}: a class has 1 to {MOST}")
    digits = max(2, len(str(count)))
    students, sheet = [], []
    for number in range(1, count + 1):
        own = f"{name}-{number:0{digits}}"
        token, password = secrets.token_urlsafe(18), secrets.token_urlsafe(18)
        students.append(Student(own, hashed(token), hashed(password)))
        sheet.append(Entry(own, token, _as_user(settings.redis_url, own, password)))
    return Class(name, tuple(students), dict(limits)), sheet


def redis_users(found: Class) -> Iterator[str]:
    """A command for each student's Redis user, for `valkey-cli` or `redis-cli` to read."""
    for one in found.students:
        keys = f"resetkeys ~{one.name}:*"
        yield (
            f"ACL SETUSER {one.name} on resetpass #{one.password_sha256} resetchannels {keys} "
            f"{COMMANDS}"
        )


def as_csv(sheet: Sequence[Entry]) -> str:
    """The sheet for a spreadsheet or a mail merge."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([f.name for f in fields(Entry)])
    writer.writerows([entry.student, entry.token, entry.redis_url] for entry in sheet)
    return text.getvalue()


def hashed(secret: str) -> str:
    """SHA-256 of a random secret of 144 bits, which nobody can try out."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _as_user(url: str, user: str, password: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{user}:{password}@{parts.netloc.rpartition('@')[2]}"))
