"""Key sets that jwt-auth fetches lie beside the generations: no reload empties them, and one fetch serves all workers."""
import base64
import json
import threading
import time

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from harness.settings import configuration, route
from harness.waiting import eventually

OK, UNAVAILABLE, UNAUTHENTICATED = (
    grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAUTHENTICATED)


class Provider:
    """An identity provider: what it answers, and how often it was asked."""

    def __init__(self, upstream, *names):
        self.keys = {name: Ed25519PrivateKey.generate() for name in names}
        self.published = list(names)
        self.answer, self.delay, self.asked = None, 0, 0
        self.address = upstream(self.respond).address

    def respond(self, connection, head):
        self.asked += 1
        answer = self.answer or self.jwks()
        if self.delay:
            time.sleep(self.delay)
        if isinstance(answer, int):
            fields = [(":status", str(answer))]
            return connection.send(*connection.headers_frames(head.stream, fields, end_stream=True))
        connection.respond(head.stream, body=answer.encode())

    def jwks(self):
        def jwk(name):
            raw = self.keys[name].public_key().public_bytes(
                serialization.Encoding.Raw, serialization.PublicFormat.Raw)
            return {"kty": "OKP", "crv": "Ed25519", "kid": name, "x": base64.urlsafe_b64encode(raw).rstrip(b"=").decode()}
        return json.dumps({"keys": [jwk(name) for name in self.published]})

    def add(self, name):
        self.keys[name] = Ed25519PrivateKey.generate()

    def bearer(self, name, kid=None):
        claims = {"sub": "a", "exp": int(time.time()) + 600}
        token = jwt.encode(claims, self.keys[name], algorithm="EdDSA", headers={"kid": kid or name})
        return [("authorization", f"Bearer {token}")]


def code(caller, metadata):
    try:
        caller.unary(metadata=metadata)
        return OK
    except grpc.RpcError as error:
        return error.code()


class Flow:
    """Calls without a pause, on several connections; counts how they ended."""

    def __init__(self, callers, metadata):
        self.ends, self.running = {}, True
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(caller, metadata)) for caller in callers]
        for thread in self.threads:
            thread.start()

    def run(self, caller, metadata):
        while self.running:
            end = code(caller, metadata)
            with self.lock:
                self.ends[end] = self.ends.get(end, 0) + 1

    def stop(self):
        self.running = False
        for thread in self.threads:
            thread.join()
        return self.ends


def settings(backend, provider, workers=1, deny="a.B", **more):
    guard = {"jwks_upstream": "keys", "refresh": "1s", **more}
    return configuration(
        backend.address, workers=workers, upstreams={"keys": [provider.address]},
        routes=[
            {"name": "other", "match": {"service": "other.Service"}, "upstream": "main",
             "policies": [{"method-allow": {"deny": [f"{deny}/*"]}}]},
            route(policies=[{"jwt-auth": guard}]),
        ])


@pytest.fixture
def provider(upstream):
    return Provider(upstream, "one")


@pytest.mark.parametrize("workers", [1, 2])
def test_no_reload_empties_them(moongate, backend, client, provider, workers):
    proxy = moongate(settings(backend, provider, workers, refresh="1h"))
    callers = [client(proxy.address) for _ in range(4)]
    good = provider.bearer("one")
    eventually(lambda: code(callers[0], good) is OK, 10)
    assert provider.asked == 1, "one fetch serves all workers"
    provider.delay = 0.3
    flow = Flow(callers, good)
    changes = [
        {"deny": "a.C"},                                    # another route's policy
        {"deny": "a.C", "leeway": "10s"},                   # jwt-auth itself
        {"deny": "a.D", "leeway": "10s"},
    ]
    for number, change in enumerate(changes):
        if number == 2:
            provider.answer = 503
        proxy.configure(settings(backend, provider, workers, refresh="1h", **change))
        proxy.wait_generation(number + 2)
        time.sleep(0.4)
    plain = settings(backend, provider, workers, deny="a.D", leeway="10s", refresh="1h")
    plain["routes"][1]["timeout"] = "20s"                   # no policy at all
    proxy.configure(plain)
    proxy.wait_generation(5)
    time.sleep(0.4)
    ends = flow.stop()
    assert set(ends) == {OK} and ends[OK] > 100, ends
    assert provider.asked == 1


@pytest.mark.parametrize("answer", [503, "garbage", '{"keys": 1}', '{"keys": []}'])
def test_the_last_good_keys_stay(moongate, backend, client, provider, answer):
    proxy = moongate(settings(backend, provider))
    caller = client(proxy.address)
    good = provider.bearer("one")
    eventually(lambda: code(caller, good) is OK, 10)
    provider.answer = answer
    asked = provider.asked
    eventually(lambda: provider.asked > asked, 10)
    proxy.configure(settings(backend, provider, deny="a.C"))
    proxy.wait_generation(2)
    asked = provider.asked
    eventually(lambda: provider.asked > asked, 10)
    assert code(caller, good) is OK


@pytest.mark.parametrize("workers", [1, 2])
def test_all_workers_see_new_and_revoked_keys(moongate, backend, client, provider, workers):
    proxy = moongate(settings(backend, provider, workers))
    callers = [client(proxy.address) for _ in range(4)]
    old = provider.bearer("one")
    for caller in callers:
        eventually(lambda: code(caller, old) is OK, 10)
    provider.add("two")
    new = provider.bearer("two")
    provider.published = ["two"]
    for caller in callers:
        eventually(lambda: code(caller, new) is OK, 10)
        assert code(caller, old) is UNAUTHENTICATED, "also where the token is remembered"


def test_an_unknown_key_is_fetched_for_and_strangers_cause_few_fetches(moongate, backend, client, provider):
    proxy = moongate(settings(backend, provider, refresh="1h"))
    caller = client(proxy.address)
    eventually(lambda: code(caller, provider.bearer("one")) is OK, 10)
    time.sleep(10)
    provider.add("two")
    provider.published = ["one", "two"]
    assert code(caller, provider.bearer("two")) is OK
    assert provider.asked == 2
    stranger = Ed25519PrivateKey.generate()
    provider.keys["stranger"] = stranger
    for number in range(50):
        assert code(caller, provider.bearer("stranger", f"random-{number}")) is UNAUTHENTICATED
    assert provider.asked == 2


def test_keys_of_another_provider_let_nobody_in(moongate, backend, client, provider, upstream):
    other = Provider(upstream, "two")
    proxy = moongate(settings(backend, provider, refresh="1h"))
    caller = client(proxy.address)
    eventually(lambda: code(caller, provider.bearer("one")) is OK, 10)
    proxy.configure(settings(backend, other, refresh="1h"))
    proxy.wait_generation(2)
    assert code(caller, provider.bearer("one")) is UNAUTHENTICATED
    assert code(caller, other.bearer("two")) is OK
    # A provider that is away has no keys to give.
    other.answer = 503
    third = Provider(upstream, "three")
    third.answer = 503
    proxy.configure(settings(backend, third, refresh="1h"))
    proxy.wait_generation(3)
    assert code(caller, other.bearer("two")) is UNAVAILABLE


def test_keys_end_with_max_age(moongate, backend, client, provider):
    proxy = moongate(settings(backend, provider, max_age="3s"))
    caller = client(proxy.address)
    good = provider.bearer("one")
    eventually(lambda: code(caller, good) is OK, 10)
    provider.answer = 503
    eventually(lambda: code(caller, good) is UNAVAILABLE, 10)
    provider.answer = None
    eventually(lambda: code(caller, good) is OK, 10)
