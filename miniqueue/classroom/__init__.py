"""What notebooks, labs and benchmarks use: launch a whole stack, draw it, measure it, break it."""

from miniqueue.classroom.stack import Stack

__all__ = ["Stack"]
