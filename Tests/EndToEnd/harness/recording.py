"""What a request led to: the answer that the client got, and what the upstreams saw of it."""
import threading
from dataclasses import dataclass, field

from .frame_upstream import OK, RESPONSE, FrameUpstream
from .frames import message
from .waiting import eventually

# Fields that proxies add by themselves: they are not what scripts are compared by.
NOISE = {"date", "server", "via", "x-forwarded-proto", "x-forwarded-for", "x-request-id", "x-envoy-internal",
         "x-envoy-upstream-service-time", "x-envoy-expected-rq-timeout-ms", "x-envoy-external-address"}


class Fields(dict):
    """Header fields without noise: a list of values by name. As a mapping it compares without the order of names."""

    def __init__(self, pairs=()):
        super().__init__()
        for name, value in pairs:
            if name not in NOISE:
                self.setdefault(name, []).append(value)

    def __getitem__(self, name):
        """The values, joined; `None` if there are none."""
        return ",".join(super().__getitem__(name)) if name in self else None

    def all(self, name):
        return self.get(name, [])


@dataclass
class Seen:
    """A request as an upstream saw it."""
    headers: Fields
    body: bytes = b""
    trailers: Fields = field(default_factory=Fields)
    ended: bool = True

    def __getitem__(self, name):
        return self.headers[name]


@dataclass
class Outcome:
    """The answer to a request, with the requests that it led to by upstream."""
    status: int
    headers: Fields
    body: bytes
    trailers: Fields
    reset: int
    upstreams: dict

    def __getitem__(self, name):
        """A header of the answer."""
        return self.headers[name]

    @property
    def seen(self):
        """The one request that the upstream `main` saw."""
        found = self.upstreams.get("main", [])
        assert len(found) == 1, f"{len(found)} requests reached the upstream: {self}"
        return found[0]

    @property
    def grpc_status(self):
        return self.trailers["grpc-status"] or self.headers["grpc-status"]


def outcome(frames, upstreams=None):
    """The answer that these frames are; heads of status 1xx left out."""
    heads = [frame for frame in frames if frame.type == "Headers" and not (frame.get(":status") or "").startswith("1")]
    head = heads[0] if heads else None
    reset = next((frame.code for frame in frames if frame.type == "RstStream"), None)
    headers = Fields(head.headers if head else ())
    status = headers.pop(":status", ["0"])[0]
    return Outcome(
        int(status), headers, b"".join(frame.data for frame in frames if frame.type == "Data"),
        Fields(heads[1].headers if len(heads) > 1 else ()), reset, upstreams or {})


def answer(status=200, headers=(), body=b"hello", trailers=None, chunks=None):
    """A responder: waits for the whole request and sends this."""
    def respond(connection, head):
        if not head.ends_stream:
            connection.wait_end(head.stream)
        parts = chunks or ([body] if body else [])
        connection.send_headers(head.stream, [(":status", str(status)), *headers],
                                end_stream=not parts and trailers is None)
        for number, part in enumerate(parts):
            connection.send_allowed(head.stream, part, number == len(parts) - 1 and trailers is None)
        if trailers is not None:
            connection.send_headers(head.stream, list(trailers), end_stream=True)

    return respond


def usual(connection, head):
    """The usual responder: `hello` as text, or to a gRPC request one empty message and status 0."""
    if (head.get("content-type") or "").startswith("application/grpc"):
        answer(200, RESPONSE[1:], message(b""), OK)(connection, head)
    else:
        answer(200, [("content-type", "text/plain")])(connection, head)


class RecordingUpstream(FrameUpstream):
    """Answers each request in a thread of its own, by `responder(connection, head)`, and keeps what it saw."""

    def __init__(self, **options):
        self.responder = usual
        self.first = 0
        self.requests = []          # (connection, head), in the order of arrival
        self.answering = 0
        super().__init__(script=True, **options)

    def _answer_all(self, connection):
        while True:
            try:
                head = connection.next_request(timeout=3600)
            except AssertionError:
                return
            with self.changed:
                self.requests.append((connection, head))
                self.answering += 1
            threading.Thread(target=self._answer, args=(self.responder, connection, head), daemon=True).start()

    def _answer(self, responder, connection, head):
        try:
            responder(connection, head)
        except (AssertionError, OSError):
            pass                    # the proxy gave the request up; what it saw tells
        finally:
            with self.changed:
                self.answering -= 1

    def begin(self, responder=None):
        """Forgets what was seen; later requests are answered like this."""
        self.responder = responder or usual
        self.first = len(self.requests)

    def seen(self):
        """The requests since `begin`, as far as they have come; none is being answered any more."""
        eventually(lambda: self.answering == 0, 6, interval=0.002, what="all requests are answered")
        return [_seen(connection, head) for connection, head in self.requests[self.first:]]


def _seen(connection, head):
    frames = connection.of_stream(head.stream)
    later = [frame for frame in frames if frame.type == "Headers" and frame is not head]
    return Seen(
        Fields(head.headers), b"".join(frame.data for frame in frames if frame.type == "Data"),
        Fields(later[-1].headers if later else ()), any(frame.ends_stream for frame in frames))
