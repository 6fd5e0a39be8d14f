"""zmqbridge.txzmq, the same roles as the original by another import."""

from benchmarks.subjects.txzmq_api import roles
from zmqbridge import txzmq

globals().update(roles(txzmq))
