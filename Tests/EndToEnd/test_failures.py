"""Every way an upstream can fail, for unary calls and for streams: the status and the message that the client gets, and how
long calls go on failing once the upstream is well again. Prints the table; that of docs/reliability.md must say the same.
"""
import socket
import threading
import time

import grpc
import pytest

from harness.authority import Authority
from harness.backend import Backend
from harness.backend_process import BackendProcess
from harness.dns_server import DNSServer
from harness.documents import REPOSITORY
from harness.frame_upstream import FrameUpstream, RESPONSE
from harness.frames import message
from harness.ports import free_port
from harness.settings import configuration, route
from harness.stubs import Order
from harness.waiting import eventually

pytestmark = pytest.mark.alone
TABLE = REPOSITORY / "docs" / "reliability.md"


@pytest.fixture(scope="module")
def table(request):
    """The rows; printed when all are there."""
    lines = []
    yield lines
    with request.config.pluginmanager.get_plugin("capturemanager").global_and_fixture_disabled():
        print("\n| Upstream | Call | Status | Message | Well again after |\n|---|---|---|---|---|", *lines, sep="\n")


class Real:
    """A grpcio server in its own process."""

    def __init__(self, folder):
        self.server = BackendProcess()
        self.address = self.server.address
        self.settings = {}

    def fail(self):
        raise NotImplementedError

    def fail_during(self):
        """While a call is under way."""
        self.fail()

    def mend(self):
        self.server.start()

    def close(self):
        self.server.stop()


class Killed(Real):
    """the process is killed"""
    during = True

    def fail(self):
        self.server.kill()


class Refusing(Real):
    """nothing listens"""
    during = False

    def fail(self):
        self.server.kill()


class Hung(Real):
    """the process hangs, `timeout: 1s`"""
    during = True
    route = {"timeout": "1s"}

    def fail(self):
        self.server.hang()

    def mend(self):
        self.server.wake()


class BlackHole:
    """nobody answers the SYN, `connect_timeout: 300ms`"""
    during = False
    upstream = {"connect_timeout": "300ms"}

    def __init__(self, folder):
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.server = None
        self.fill = []

    def fail(self):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", self.port))
        self.listener.listen(0)
        for _ in range(4):                                   # the queue is full: further SYNs are dropped
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", self.port))
            self.fill.append(one)

    def mend(self):
        for one in [*self.fill, self.listener]:
            one.close()
        self.server = BackendProcess(self.port)

    def close(self):
        if self.server:
            self.server.stop()


class Scripted:
    """A frame-level upstream that misbehaves until it is told not to."""
    during = True

    def __init__(self, folder):
        self.well = True
        self.server = FrameUpstream(self._serve)
        self.address = self.server.address

    def _serve(self, connection, head):
        threading.Thread(target=self._answer, args=(connection, head), daemon=True).start()

    def _answer(self, connection, head):
        is_stream = head.get(":path").endswith("ServerStream")
        if not head.ends_stream:
            connection.wait_end(head.stream)
        if is_stream:
            connection.send_headers(head.stream, RESPONSE)
            connection.send_data(head.stream, message())
            time.sleep(0.1)
        if not self.well:
            return self.misbehave(connection, head, is_stream)
        if is_stream:
            connection.send_headers(head.stream, [("grpc-status", "0")], end_stream=True)
        else:
            connection.respond(head.stream)

    def fail(self):
        self.well = False

    def mend(self):
        self.well = True

    def close(self):
        self.server.close()


class Slow(Scripted):
    """the answer takes longer than `timeout: 500ms`"""
    route = {"timeout": "500ms"}

    def misbehave(self, connection, head, is_stream):
        pass


class Resetting(Scripted):
    """streams are reset (INTERNAL_ERROR)"""

    def misbehave(self, connection, head, is_stream):
        connection.reset(head.stream, 2)


class Refused(Scripted):
    """streams are refused (REFUSED_STREAM)"""

    def misbehave(self, connection, head, is_stream):
        connection.reset(head.stream, 7)


class GoingAway(Scripted):
    """GOAWAY with every answer"""

    def misbehave(self, connection, head, is_stream):
        connection.go_away(head.stream)
        if is_stream:
            connection.send_headers(head.stream, [("grpc-status", "0")], end_stream=True)
        else:
            connection.respond(head.stream)


class Dropping(Scripted):
    """the connection is cut"""

    def misbehave(self, connection, head, is_stream):
        connection.abort()


class Page(Scripted):
    """a proxy's error page instead of an answer"""

    def misbehave(self, connection, head, is_stream):
        if is_stream:
            return connection.reset(head.stream, 2)
        connection.send_headers(head.stream, [(":status", "502"), ("content-type", "text/plain")])
        connection.send_data(head.stream, b"Bad Gateway", end_stream=True)


class Unended(Scripted):
    """the answer ends without trailers"""

    def misbehave(self, connection, head, is_stream):
        if not is_stream:
            connection.send_headers(head.stream, RESPONSE)
        connection.send_data(head.stream, b"", end_stream=True)


class Silent:
    """no HTTP/2: the server speaks HTTP/1.1"""
    during = False

    def __init__(self, folder):
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.server = None

    def fail(self):
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._answer, daemon=True).start()

    def _answer(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.recv(1000)
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            sock.close()

    def mend(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.server = BackendProcess(self.port)

    def close(self):
        if self.server:
            self.server.stop()


class Expired:
    """the server's certificate has expired"""
    during = False

    def __init__(self, folder):
        self.authority = Authority(folder)
        self.address = f"127.0.0.1:{free_port()}"
        self.upstream = {"tls": {"ca": str(self.authority.certificate)}}
        self.server = None

    def fail(self):
        self._serve(self.authority.issue("old", ["127.0.0.1"], days=-1))

    def mend(self):
        self.close()
        self._serve(self.authority.issue("new", ["127.0.0.1"]))

    def _serve(self, certificate):
        credentials = grpc.ssl_server_credentials([(certificate.key_pem, certificate.pem)])
        self.server = Backend(address=self.address, credentials=credentials)

    def close(self):
        if self.server:
            self.server.stop()


class Nameless:
    """the name does not exist in DNS"""
    during = False

    def __init__(self, folder):
        self.dns = DNSServer()
        self.server = BackendProcess()
        port = self.server.address.rpartition(":")[2]
        self.address = f"greeter.test:{port}"
        self.more = {"dns": {"servers": [self.dns.address], "timeout": "300ms", "attempts": 1}}

    def fail(self):
        pass

    def mend(self):
        self.dns.set("greeter.test", "127.0.0.1", ttl=1)

    def close(self):
        self.server.stop()
        self.dns.close()


class DNSGone(Nameless):
    """the DNS servers are gone, the addresses are known"""

    def __init__(self, folder):
        super().__init__(folder)
        self.mend()

    def fail(self):
        eventually(lambda: self.dns.asked("greeter.test"), 10, what="the name is asked for")
        self.dns.silence("greeter.test")
        asked = self.dns.asked("greeter.test")
        eventually(lambda: self.dns.asked("greeter.test") > asked, 10, what="the addresses are out of date")

    def mend(self):
        self.dns.silence()
        super().mend()


def outcome(call):
    """Status and message of a call; the messages that came before do not count."""
    try:
        result = call()
        if hasattr(result, "__next__"):
            for _ in result:
                pass
        return "OK", ""
    except grpc.RpcError as error:
        return error.code().name, error.details() or ""


def call_of(kind, caller, order):
    """A call that has not ended when it is returned."""
    if kind == "unary":
        future = caller.probe.Unary.future(order, timeout=20)
        return future, lambda: future.result()
    stream = caller.probe.ServerStream(order, timeout=20)
    return stream, lambda: stream


def well(caller):
    return outcome(lambda: caller.probe.Unary(Order(), timeout=2))[0] == "OK"


FAILURES = [Killed, Refusing, Hung, Slow, BlackHole, Silent, Resetting, Refused, Dropping, GoingAway, Unended, Page,
            Expired, Nameless, DNSGone]


@pytest.mark.parametrize("kind", ["unary", "stream"])
@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.__name__)
def test_status_message_and_recovery(moongate, client, tmp_path, table, failure, kind):
    broken = failure(tmp_path)
    try:
        settings = {"endpoints": [broken.address], **getattr(broken, "upstream", {})}
        proxy = moongate(configuration(
            upstreams={"main": settings}, routes=[route(**getattr(failure, "route", {}))],
            **getattr(broken, "more", {})))
        caller = client(proxy.address)
        if failure.during:
            eventually(lambda: well(caller), 20, what="the upstream works")
            order = Order(delay_ms=2500, count=2) if kind == "unary" or isinstance(broken, Real) else Order(count=2)
            if isinstance(broken, Scripted):
                broken.fail()
            _, wait = call_of(kind, caller, order)
            if isinstance(broken, Real):
                time.sleep(0.3)
                broken.fail()
            status = outcome(wait)
        else:
            broken.fail()
            status = outcome(lambda: call_of(kind, caller, Order(count=2))[1]())
        broken.mend()
        began = time.monotonic()
        eventually(lambda: well(caller), 20, interval=0.01, what="calls that succeed again")
        host, _, port = broken.address.rpartition(":")
        for address in (host, port, "127.0.0.1", "greeter.test"):
            assert address not in status[1], "clients are not told where endpoints are"
        line = f"| {failure.__doc__} | {kind} | `{status[0]}` | {status[1]} |"
        table.append(f"{line} {time.monotonic() - began:.2f} s |")
        assert proxy.running()
        assert line in TABLE.read_text(encoding="utf-8"), "docs/reliability.md says something else"
    finally:
        broken.close()
