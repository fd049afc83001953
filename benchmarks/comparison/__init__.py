"""The parts of peers.py: who is measured, in which environment, how, and how it is told."""
