"""421: requests on a connection that was made for another certificate (the Gateway API's
HTTPSListenerDetectMisdirectedRequests, with certificates in the place of listeners)."""
import pytest

from harness.frame_client import request, trusting_context
from harness.settings import configuration, route

NAMES = [["example.org"], ["second-example.org"], ["*.wildcard.org"], ["fourth-example.wildcard.org"]]


@pytest.fixture
def edge(moongate, upstream, authority):
    ca = authority()
    server = upstream(lambda connection, head: connection.respond(head.stream))
    certificates = [ca.issue(f"c{index}", names) for index, names in enumerate(NAMES)]
    return moongate(configuration(
        server.address, routes=[route(match={"hosts": [
            "example.org", "second-example.org", "*.wildcard.org", "10.0.0.1"]})],
        listeners=[{"name": "main", "address": "127.0.0.1:0",
                    "tls": {"certificates": [one.setting() for one in certificates]}}]))


@pytest.mark.parametrize("sni, host, status", [
    ("example.org", "example.org", 200), ("example.org", "second-example.org", 421),
    ("example.org", "unknown.org", 404), ("second-example.org", "second-example.org", 200),
    ("second-example.org", "example.org", 421),
    # Nobody else has a certificate for it, so that another connection would be no better.
    ("second-example.org", "unknown.org", 404),
    ("third.wildcard.org", "third.wildcard.org", 200), ("third.wildcard.org", "fifth.wildcard.org", 200),
    ("third.wildcard.org", "fourth-example.wildcard.org", 421), ("third.wildcard.org", "second-example.org", 421),
    ("fourth-example.wildcard.org", "fourth-example.wildcard.org", 200),
    ("fourth-example.wildcard.org", "fifth.wildcard.org", 421),
    ("unknown.org", "example.org", 200), ("unknown.org", "unknown.org", 404),
    ("unknown.org", "second-example.org", 421),
    # Who asks for no name has chosen none.
    (None, "second-example.org", 200), ("second-example.org", "SECOND-example.org.:8443", 200),
    ("second-example.org", "10.0.0.1", 200),
])
@pytest.mark.parametrize("is_grpc", [False, True])
def test_misdirected_requests(edge, connect, sni, host, status, is_grpc):
    client = connect(edge.address, tls=trusting_context(), server_name=sni)
    content = "application/grpc" if is_grpc else "text/plain"
    for _ in range(2):
        head, *_, last = [*client.call(request(authority=host, content_type=content)), None]
        if is_grpc:
            assert head.get(":status") == "200"
            ending = [frame for frame in client.of_stream(head.stream) if frame.get("grpc-status")][-1]
            assert ending.get("grpc-status") == {200: "0", 404: "12", 421: "9"}[status]
        else:
            assert head.get(":status") == str(status)


def test_the_connection_goes_on(edge, connect):
    client = connect(edge.address, tls=trusting_context(), server_name="example.org")
    for host, status in [("example.org", "0"), ("second-example.org", "9"), ("example.org", "0")]:
        assert client.call(request(authority=host))[-1].get("grpc-status") == status


def test_one_certificate_for_all_names_serves_all(moongate, upstream, connect, authority):
    ca = authority()
    server = upstream(lambda connection, head: connection.respond(head.stream))
    certificate = ca.issue("all", [name for names in NAMES for name in names])
    proxy = moongate(configuration(server.address, listeners=[
        {"name": "main", "address": "127.0.0.1:0", "tls": {"certificates": [certificate.setting()]}}]))
    client = connect(proxy.address, tls=trusting_context(), server_name="example.org")
    assert client.call(request(authority="second-example.org"))[-1].get("grpc-status") == "0"
