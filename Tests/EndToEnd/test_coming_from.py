"""The pairs of examples in docs/coming-from.md do what it says; those for Envoy do the same in Envoy."""
import re
import textwrap

import pytest

from harness import documents
from harness.envoy import Envoy
from harness.frame_client import request
from harness.frame_upstream import answer_ok

DOCUMENT = next(document for document in documents.documents() if document.name == "docs/coming-from.md")


def section(heading):
    """Texts of the named blocks below a heading."""
    start = next(line for line, text in DOCUMENT.prose if text == f"## {heading}")
    end = next((line for line, text in DOCUMENT.prose if line > start and text.startswith("## ")), 1 << 30)
    return {block.name: block.text for block in DOCUMENT.blocks if start < block.line < end and block.name}


def with_ports(text, ports):
    """The text with other endpoints: the port that it listens on becomes any, upstreams by their port those of a test."""
    text = text.replace("127.0.0.1:8080", "127.0.0.1:0").replace("port_value: 8080", "port_value: 0")
    for old, new in ports.items():
        text = re.sub(rf"[\w.-]+:{old}\b", f"127.0.0.1:{new}", text).replace(f"port_value: {old}", f"port_value: {new}")
    return text


@pytest.fixture
def example(moongate, upstream, connect):
    """Runs the Moongate half of a section; gives a function that calls it, and its upstreams by port."""
    def start(heading):
        shown = section(heading)
        servers = {port: upstream(answer_ok) for port in (50051, 50052)}
        ports = {port: server.port for port, server in servers.items()}
        files = {name: text for name, text in shown.items() if name.startswith("policies/")}
        proxy = moongate(with_ports(shown["moongate.yaml"], ports), files=files)
        return caller(connect, proxy.address), servers, ports

    return start


def caller(connect, address):
    """Calls a gRPC method: the frame that ends the answer, or the head of it if the call succeeded."""
    def call(path="/helloworld.Greeter/SayHello", authority="api.example.com", headers=()):
        frames = connect(address).call(request(path, authority, headers), body=b"\0\0\0\0\0")
        return frames[0]

    return call


def reached(servers):
    return {port for port, server in servers.items() if server.heads()}


def envoy_half(tmp_path, shown, ports):
    """Envoy with the section's configuration; it has no admin listener of its own, so the harness gives it one."""
    for name, text in shown.items():
        if name.startswith("policies/"):
            path = tmp_path / "envoy" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    admin = "admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}\n"
    return Envoy(tmp_path / "envoy", admin + with_ports(shown["envoy.yaml"], ports))


def test_envoy(example, connect, tmp_path):
    call, servers, ports = example("Envoy")
    process = envoy_half(tmp_path, section("Envoy"), ports)
    try:
        for ask in (call, caller(connect, process.bound["edge"])):
            good = ask("/shop.Cart/Add", "acme.example.com", [("x-plan", "forged")])
            assert good.get(":status") == "200" and good.get("x-seen-x-plan") == "gold"
            refused = ask("/shop.Cart/Add", "unknown.example.com")
            assert refused.get("grpc-status") == "7" and refused.get("grpc-message") == "no such tenant"
            assert ask("/shop.Other/Add", "acme.example.com").get("grpc-status") == "12"
    finally:
        process.stop()


def literal(text, key):
    """The lines of a block scalar."""
    return textwrap.dedent(re.search(rf"{key}: \|\n((?:(?: +.*)?\n)+)", text)[1].split("\n---")[0])


def test_emissary(example):
    shown = section("Emissary")
    assert literal(shown["emissary.yaml"], "lua_scripts").split() == literal(
        shown["moongate.yaml"].split("upstreams:")[0], "lua").split()
    call, _, _ = example("Emissary")
    assert call(authority="api.example.com:443").get("x-seen-authority") == "api.example.com"


def test_istio(example):
    shown = section("Istio")
    assert literal(shown["istio.yaml"], "inlineCode").strip() == shown["policies/api-key-istio.lua"].strip()
    call, _, _ = example("Istio")
    assert call(headers=[("x-api-key", "letmein")]).get("x-content-type-options") == "nosniff"
    refused = call()
    assert refused.get("grpc-status") == "16" and refused.get("grpc-message") == "key required"


def test_gateway_api(example):
    call, servers, _ = example("Gateway API")
    first = call(headers=[("x-internal", "1"), ("x-edge", "forged")])
    assert first.get("x-seen-x-edge") == "moongate" and first.get("x-seen-x-internal") is None
    assert reached(servers) == {50051}
    assert call(headers=[("x-version", "v2")]).get(":status") == "200" and reached(servers) == {50051, 50052}
    assert call(authority="other.example.com").get("grpc-status") == "12"


def test_openresty(example):
    call, _, _ = example("ingress-nginx and OpenResty")
    assert call().get("grpc-status") == "16"
    for _ in range(3):
        good = call(headers=[("x-api-key", "k1")])
        assert good.get("x-seen-x-client") == "k1" and good.get("x-client") == "k1"
        assert good.get("x-seen-x-api-key") is None
    assert call(headers=[("x-api-key", "k1")]).get("grpc-status") == "14"
    assert call(headers=[("x-api-key", "k2")]).get(":status") == "200"


def test_haproxy(example):
    call, servers, _ = example("HAProxy")
    assert call().get("grpc-status") == "7"
    call(headers=[("x-tenant", "initech")])
    assert reached(servers) == {50051}
    call(headers=[("x-tenant", "acme")])
    assert reached(servers) == {50051, 50052}
