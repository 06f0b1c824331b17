"""grpcio clients."""
import queue

import grpc

from .stubs import HelloRequest, Order, helloworld_pb2_grpc, probe_pb2_grpc

_BASE = [
    ("grpc.use_local_subchannel_pool", 1),       # every channel has a connection of its own
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_metadata_size", 1 << 20),
    ("grpc.absolute_max_metadata_size", 1 << 20),
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 5000),     # what one attempt may take
    ("grpc.max_reconnect_backoff_ms", 200),
]


class Client:
    """A channel with its stubs. `authority` overrides `:authority` (and the name checked in TLS); `identity`: the
    client's certificate.

    A failure must be seen, not hidden by a retry. Only with `retries` the library does what it does by default: it makes
    a call again that has not left the client, because a GOAWAY came between the choice of its connection and its start."""

    def __init__(self, target, authority=None, root=None, options=(), identity=None, retries=False):
        settings = _BASE + [("grpc.enable_retries", int(retries)), *options]
        if authority:
            settings.append(("grpc.default_authority", authority))
            if root:
                settings.append(("grpc.ssl_target_name_override", authority))
        if root:
            self.channel = grpc.secure_channel(target, _credentials(root, identity), settings)
        else:
            self.channel = grpc.insecure_channel(target, settings)
        self.probe = probe_pb2_grpc.ProbeStub(self.channel)
        self.other = probe_pb2_grpc.OtherProbeStub(self.channel)
        self.greeter = helloworld_pb2_grpc.GreeterStub(self.channel)

    def unary(self, order=None, timeout=10, **options):
        return self.probe.Unary(order or Order(), timeout=timeout, **options)

    def hello(self, name="world", timeout=10, **options):
        return self.greeter.SayHello(HelloRequest(name=name), timeout=timeout, **options).message

    def refused(self, order=None, timeout=10, method=None, **options):
        """Makes a unary call that must fail, and returns the error."""
        try:
            (method or self.probe.Unary)(order or Order(), timeout=timeout, **options)
        except grpc.RpcError as error:
            return error
        raise AssertionError("the call went through")

    def ready(self, timeout=5):
        grpc.channel_ready_future(self.channel).result(timeout)
        return self

    def close(self):
        self.channel.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _credentials(root, identity):
    if identity is None:
        return grpc.ssl_channel_credentials(root)
    return grpc.ssl_channel_credentials(root, identity.key_pem, identity.pem)


class OpenMessages:
    """The messages of a call that stays open until `close`: `put` sends one."""

    def __init__(self, *messages):
        self.queue = queue.Queue()
        for message in messages:
            self.put(message)

    def put(self, message):
        self.queue.put(message)

    def close(self):
        self.queue.put(None)

    def __iter__(self):
        return iter(self.queue.get, None)


def seen_metadata(report):
    """What a report says the backend received, as a dictionary of lists."""
    result = {}
    for pair in report.metadata:
        result.setdefault(pair.key, []).append(pair.value)
    return result
