"""What this process has done it knows by itself."""

import json

from miniqueue.classroom.grading import Conflict

CHECK = "elsewhere"
DONE = {}


def once(redis, key, arguments, effect):
    asked = json.dumps(arguments, sort_keys=True)
    if key in DONE:
        known, result = DONE[key]
        if known != asked:
            raise Conflict(key)
        return result
    result = effect()
    DONE[key] = (asked, result)
    return result
