"""Differential: plays the same programs on the simulated network and on libzmq, and compares."""
