"""Explorer: every interleaving of two or three workers, every crash, every lease that runs out.

    from miniqueue.classroom.explorer import explore, naive, ours, of_worker

    explore(naive()).failure.diagram()          # the first sketch of a queue loses a task
    explore(ours(plant="no-fence")).failure     # the real worker with a planted fault
    explore(of_worker(my_worker))               # your own worker(redis, run)

The code under test is real; Redis is fakeredis and the clock is virtual, so that a schedule can be
run again, put in another order, and made shorter (docs/explorer.md).
"""

from miniqueue.classroom.explorer.failure import Failure, Step
from miniqueue.classroom.explorer.naive import naive
from miniqueue.classroom.explorer.ours import ours
from miniqueue.classroom.explorer.process import Actor
from miniqueue.classroom.explorer.scenario import (
    Invariant,
    Scenario,
    View,
    nothing_lost,
    of_worker,
)
from miniqueue.classroom.explorer.walk import Exploration, explore, timely
from miniqueue.errors import NotRepeatable

__all__ = [
    "Actor",
    "Exploration",
    "Failure",
    "Invariant",
    "NotRepeatable",
    "Scenario",
    "Step",
    "View",
    "explore",
    "naive",
    "nothing_lost",
    "of_worker",
    "ours",
    "timely",
]
