"""What notebooks, labs and benchmarks use: launch a whole stack, draw it, measure it, break it.

    from miniqueue.classroom import Stack, charts, measure

Stack comes at once; charts and measure bring matplotlib and scipy, only when they are asked for.
"""

from miniqueue.classroom.stack import Stack

__all__ = ["Stack"]
