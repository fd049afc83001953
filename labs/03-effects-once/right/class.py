"""A note as a context manager."""

import json
import uuid
from dataclasses import dataclass

from miniqueue.classroom.grading import Busy, Conflict

LOOK = """
local v = redis.call('GET', KEYS[1])
if not v then redis.call('SET', KEYS[1], ARGV[1], 'EX', 30) end
return v
"""
SWAP = """
if redis.call('GET', KEYS[1]) == ARGV[1] then
  if ARGV[2] == 'none' then return redis.call('DEL', KEYS[1]) end
  redis.call('SET', KEYS[1], ARGV[2], 'EX', 7200)
end
"""


@dataclass
class Note:
    redis: object
    key: str
    arguments: str

    def __enter__(self):
        self.mine = json.dumps(["at it", self.arguments, str(uuid.uuid4())])
        self.found = self.redis.eval(LOOK, 1, "note:" + self.key, self.mine)
        return self

    def __exit__(self, kind, error, trace):
        if kind is not None and not self.found:
            self.redis.eval(SWAP, 1, "note:" + self.key, self.mine, "none")
        return False

    def keep(self, result):
        new = json.dumps(["done", self.arguments, result])
        self.redis.eval(SWAP, 1, "note:" + self.key, self.mine, new)
        return result


def once(redis, key, arguments, effect):
    with Note(redis, key, json.dumps(arguments, sort_keys=True)) as note:
        if note.found:
            state, asked, more = json.loads(note.found)
            if asked != note.arguments:
                raise Conflict(key)
            if state == "at it":
                raise Busy(key)
            return more
        return note.keep(effect())
