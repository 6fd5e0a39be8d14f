"""Differential: plays the same programs on the simulated network and on libzmq, and compares."""

from __future__ import annotations

from zmqbridge.testing.differential._judging import Difference, differing, on_model
from zmqbridge.testing.differential._playing import Observed
from zmqbridge.testing.differential._programs import Program, Spec, Step
from zmqbridge.testing.differential._writing import generate

__all__ = ["Difference", "Observed", "Program", "Spec", "Step", "differing", "generate", "on_model"]
