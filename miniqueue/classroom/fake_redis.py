"""The last fallback where no Redis server can run: fakeredis over TCP. `fake_redis.py PORT`.

It closes a connection after an error reply, "unknown script" too, so our scripts are loaded first.
"""

from __future__ import annotations

import sys

from fakeredis import FakeRedis, TcpFakeServer

from miniqueue.protocol.calls import script, scripts


def main() -> None:
    server = TcpFakeServer(("127.0.0.1", int(sys.argv[1])))
    client = FakeRedis(server=server.fake_server)
    for name in scripts():
        client.script_load(script(name))
    server.serve_forever()


if __name__ == "__main__":
    main()
