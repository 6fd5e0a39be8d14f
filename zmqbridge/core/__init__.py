"""The sans-IO core: pure machines that take whole messages and ``now``, and return what follows.

Standard library only; nothing here does I/O, reads a clock, or calls a waiter.
"""
