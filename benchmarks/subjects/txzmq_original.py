"""The original txZMQ, from its package."""

import txzmq

from benchmarks.subjects.txzmq_api import roles

globals().update(roles(txzmq))
