"""Differential: the same programs on the simulated network and on libzmq, compared."""
