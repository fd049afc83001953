"""Advice: what to do about an error of Redis, from the words that it came with; pure."""

from __future__ import annotations

__all__ = ["advise"]

URL = "MINIQUEUE_REDIS_URL"
# The first whose mark is in the message, in lower case.
ADVICE = [
    ("invalid username-password", f"the user or the password in {URL} is wrong"),
    ("wrongpass", f"the user or the password in {URL} is wrong"),
    ("authentication required", f"this Redis wants a password: redis://USER:PASSWORD@… in {URL}"),
    ("without any password", f"this Redis has no password: leave it out of {URL}"),
    ("no permissions", "the ACL user may not do this: docs/redis.md has the line that it needs"),
    ("mismatch, certificate is not valid", f"use the name in its certificate in {URL}"),
    (
        "certificate verify failed",
        "its certificate is not trusted here: name the authority that signed it, "
        f"?ssl_ca_certs=FILE in {URL}",
    ),
    (
        "certificate required",
        f"it asks for a certificate of ours: ?ssl_certfile=FILE&ssl_keyfile=FILE in {URL}",
    ),
    ("wrong version number", f"no TLS is spoken there: redis:// in {URL}, or the TLS port"),
    ("record layer failure", f"no TLS is spoken there: redis:// in {URL}, or the TLS port"),
    ("timeout connecting to server", f"if {URL} begins with rediss, is it a port that speaks TLS?"),
    (
        "the cluster is down",
        "a part of it has no primary: cluster-require-full-coverage no lets the others go on",
    ),
    ("slot not served", "the node that had it is away, and no replica has taken over yet"),
    ("rehashing of slot", "the keys are moving to another node: again in a moment"),
    ("cluster support disabled", f"this Redis is no node of a cluster: redis:// in {URL}"),
    (
        "read only replica",
        f"this is a replica: name the primary, or Sentinel (redis+sentinel://) in {URL}",
    ),
    ("not enough good replicas", "min-replicas-to-write refuses until enough replicas are back"),
]


def advise(message: str) -> str:
    """The message, and behind it what to do where that is known.

    >>> advise("WRONGPASS")
    'WRONGPASS; the user or the password in MINIQUEUE_REDIS_URL is wrong'
    """
    if message.startswith("No master found"):
        return _of_sentinel(message)
    text = message.lower()
    what = next((advice for mark, advice in ADVICE if mark in text), "")
    return f"{message.rstrip('. ')}; {what}" if what else message


def _of_sentinel(message: str) -> str:
    """Behind the colon redis-py puts all that it knows of each Sentinel that did not answer, in its
    older versions with passwords.
    """
    found, _, silent = message.partition(" : ")
    what = (
        "Sentinel knows no primary of this name that is up: a failover takes some seconds, else "
        f"compare the name in {URL} with SENTINEL MASTERS"
    )
    if "authentication" in silent.lower():
        what = f"Sentinel itself wants a password: ?sentinel_password= in {URL}"
    elif silent:
        what = (
            "a Sentinel does not answer (address and TLS as in "
            f"{URL}?), and no other knows a primary of this name that is up"
        )
    return f"{found}; {what}"
