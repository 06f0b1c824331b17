"""Fixtures: each gives a test what it needs and takes it away again."""
import itertools
import os

import pytest

from harness.authority import Authority
from harness.backend import Backend
from harness.certificates import Certificate
from harness.client import Client
from harness.frame_client import FrameClient
from harness.frame_upstream import FrameUpstream
from harness.proxy import Moongate
from harness.settings import configuration, route

SANITIZER = os.environ.get("MOONGATE_SANITIZER", "")


def pytest_collection_modifyitems(config, items):
    """Leaves out what a sanitizer build cannot run."""
    for item in items:
        if SANITIZER and item.get_closest_marker("figures"):
            item.add_marker(pytest.mark.skip(reason=f"compares times or memory: not under the {SANITIZER} sanitizer"))
        if SANITIZER == "thread" and item.get_closest_marker("plain"):
            item.add_marker(pytest.mark.skip(reason="ThreadSanitizer delivers no signal in a tight loop"))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    report = yield
    setattr(item, f"report_{report.when}", report)
    if report.when == "call" and report.failed:
        for number, proxy in enumerate(getattr(item, "proxies", [])):
            report.sections.append((f"moongate {number}, last lines of its log", "\n".join(proxy.lines[-80:])))
    return report


@pytest.fixture
def moongate(request, tmp_path):
    """Starts a proxy: `moongate(configuration, policies={...}, files={...})`."""
    proxies = request.node.proxies = []
    numbers = itertools.count()

    def start(settings, **options):
        proxy = Moongate(tmp_path / f"moongate{next(numbers)}", settings, **options)
        proxies.append(proxy)
        return proxy

    yield start
    for proxy in proxies:
        crashed = not proxy.running() and proxy.child.returncode < 0 and not getattr(proxy, "killed", False)
        code = proxy.stop()
        assert not crashed, f"moongate ended by signal {-code}:\n" + "\n".join(proxy.lines[-80:])
        found = [line for line in proxy.lines if "Sanitizer" in line]
        assert not found, "\n".join(proxy.lines[-200:])


@pytest.fixture
def backend():
    """A grpcio server."""
    server = Backend()
    yield server
    server.stop()


@pytest.fixture
def backends():
    """Starts grpcio servers: `backends("a", "b")`."""
    started = []

    def start(*names, **options):
        made = [Backend(name, **options) for name in names]
        started.extend(made)
        return made

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def upstream(request):
    """Starts frame-level upstreams: `upstream(script, settings={...})`."""
    started = []

    def start(script=None, **options):
        made = FrameUpstream(script, **options)
        started.append(made)
        return made

    yield start
    for made in started:
        made.close()


@pytest.fixture
def connect():
    """Opens frame-level clients: `connect(address, settings={...})`."""
    opened = []

    def start(address, **options):
        made = FrameClient(address, **options)
        opened.append(made)
        return made

    yield start
    for made in opened:
        made.close()


@pytest.fixture
def client():
    """Opens grpcio clients: `client(address, authority=...)`."""
    opened = []

    def start(address, **options):
        made = Client(address, **options)
        opened.append(made)
        return made

    yield start
    for made in opened:
        made.close()


@pytest.fixture
def certificate(tmp_path):
    """Makes self-signed certificates: `certificate("name", ["host", ...])`."""
    folder = tmp_path / "certificates"
    folder.mkdir(exist_ok=True)
    return lambda name, hosts, **options: Certificate(folder, name, hosts, **options)


@pytest.fixture
def authority(tmp_path):
    """Makes certificate authorities: `authority("name", parent=...)`."""
    folder = tmp_path / "authorities"
    folder.mkdir(exist_ok=True)
    return lambda name="ca", **options: Authority(folder, name, **options)


@pytest.fixture
def echo(moongate, backend, client):
    """A proxy before a grpcio server, and a client of it."""
    proxy = moongate(configuration(backend.address))
    return proxy, backend, client(proxy.address, authority="test.example")


@pytest.fixture
def between(moongate, upstream, connect):
    """A proxy between a frame-level client and a frame-level upstream: `proxy, client, server`."""
    server = upstream()
    proxy = moongate(configuration(server.address))
    return proxy, connect(proxy.address), server


@pytest.fixture
def scripted(moongate, upstream, connect):
    """Starts a proxy whose one route has policies with these texts; gives proxy, client and upstream."""
    def start(*texts, on_error="deny", client_settings=None, refill=True, upstream_settings=None, upstream_refill=True,
              **policies):
        server = upstream(settings=upstream_settings, refill=upstream_refill)
        names = [f"p{number}" for number in range(len(texts))]
        references = [{"policy": f"policies/{name}.lua", "on_error": on_error} for name in names]
        more = {"policies": policies} if policies else {}
        proxy = moongate(
            configuration(server.address, routes=[route(policies=references)], **more),
            policies={f"{name}.lua": text for name, text in zip(names, texts)})
        return proxy, connect(proxy.address, settings=client_settings, refill=refill), server

    return start
