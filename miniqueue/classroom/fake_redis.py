"""The last fallback where no Redis server can run: fakeredis over TCP. `fake_redis.py PORT`."""

from __future__ import annotations

import sys

from fakeredis import TcpFakeServer


def main() -> None:
    TcpFakeServer.allow_reuse_address = True
    TcpFakeServer(("127.0.0.1", int(sys.argv[1]))).serve_forever()


if __name__ == "__main__":
    main()
