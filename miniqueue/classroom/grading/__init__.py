"""Grading: named checks with points, judged by what happened and not by what was returned.

    lab = Lab(__file__, "Reliable pop", ("take", "done", "recover"))

    @lab.check("crash", 3, "a crash at any step loses no task", hint="what if it dies here?")
    def crash(answer, rng):
        return found(explore(scenario_of(answer, rng)))      # None, or a Finding

An answer is the text of one cell or file, which defines what the lab asks for. A seed changes the
tasks, not what is asked. Leaves out: where labs and answers are found (miniqueue.classroom.labs).
"""

from miniqueue.classroom.grading.judging import found, judge, names
from miniqueue.classroom.grading.lab import Answer, Busy, Check, Conflict, Finding, Lab, Wrong
from miniqueue.classroom.grading.process import grade, lab_of
from miniqueue.classroom.grading.real import Real
from miniqueue.classroom.grading.report import Report, Result
from miniqueue.classroom.grading.story import tell

__all__ = [
    "Answer",
    "Busy",
    "Check",
    "Conflict",
    "Finding",
    "Lab",
    "Real",
    "Report",
    "Result",
    "Wrong",
    "found",
    "grade",
    "judge",
    "lab_of",
    "names",
    "tell",
]
