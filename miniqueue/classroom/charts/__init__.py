"""Charts: the pictures of the course, in one quiet style.

`system()` draws the machine, `states()` tasks by state, `swim_lanes()` who did what when,
`progress()` tasks done over time, `throughput()` rates against workers with the fitted laws,
`latency_cdf()` how long people wait, `counts()` how many got what, `vanishing()` where a task is
gone, `lease_left()` a lease that burns down, `state_history()` states through a crash, `charges()`
and `wrong_charges()` what a bank has booked, `attempts_a_second()` retries through an outage,
`burst()` a burst of requests and the queue behind it. Each gives a Chart, which a notebook shows
and `savefig` writes. A learner's guess is drawn dashed and compared in the legend. Colours are
Okabe and Ito's; hatches, markers and line styles say the same without them. The background is
solid, so a picture reads in a light and in a dark JupyterLab.
"""

from miniqueue.classroom.charts.load import attempts_a_second, burst, peak_of
from miniqueue.classroom.charts.safety import charges, lease_left, state_history, wrong_charges
from miniqueue.classroom.charts.scaling import throughput
from miniqueue.classroom.charts.style import Chart
from miniqueue.classroom.charts.system import system
from miniqueue.classroom.charts.tasks import progress, states, swim_lanes
from miniqueue.classroom.charts.waits import counts, latency_cdf, vanishing

__all__ = [
    "Chart",
    "attempts_a_second",
    "burst",
    "charges",
    "counts",
    "latency_cdf",
    "lease_left",
    "peak_of",
    "progress",
    "state_history",
    "states",
    "swim_lanes",
    "system",
    "throughput",
    "vanishing",
    "wrong_charges",
]
