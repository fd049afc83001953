"""Chaos: a workload, faults by a seeded schedule, and a check that nothing was lost.

    miniqueue chaos --size smoke --seed 7

The recipe is Jepsen's total-queue check (jepsen/src/jepsen/checker.clj): what was sent, what was
accepted and what had its effect is written down by observers outside the queue, and compared.
"""
