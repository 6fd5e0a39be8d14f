"""The plugin ``twist zmq-proxy``; it names its module and loads nothing."""

from twisted.application.service import ServiceMaker

zmq_proxy = ServiceMaker(
    "zmqbridge proxy",
    "zmqbridge.twisted_backend.proxyservice",
    "A ZeroMQ proxy for requests, publications or pipelines",
    "zmq-proxy",
)
