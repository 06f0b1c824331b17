"""The shipped policies that check who calls, with real calls."""
import base64
import hashlib
import hmac
import json
import time

import bcrypt
import grpc
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from harness.client import seen_metadata
from harness.frame_client import request
from harness.frame_upstream import answer_ok
from harness.settings import configuration, route
from harness.stubs import Order
from harness.waiting import eventually


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value, size):
    return b64(value.to_bytes(size, "big"))


class Issuer:
    """Signs tokens, and publishes its keys."""

    def __init__(self):
        self.rsa = rsa.generate_private_key(65537, 2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())

    def jwks(self, *names):
        public, point = self.rsa.public_key().public_numbers(), self.ec.public_key().public_numbers()
        keys = {
            "r1": {"kty": "RSA", "kid": "r1", "use": "sig", "n": number(public.n, 256), "e": "AQAB"},
            "e1": {"kty": "EC", "kid": "e1", "crv": "P-256", "x": number(point.x, 32), "y": number(point.y, 32)},
        }
        return json.dumps({"keys": [keys[name] for name in names or keys]})

    def token(self, alg="RS256", kid="r1", **claims):
        claims = {"sub": "ada", "iss": "https://id.example", "exp": int(time.time()) + 600, **claims}
        signed = b64(json.dumps({"alg": alg, "kid": kid}).encode()) + "." + b64(json.dumps(claims).encode())
        if alg == "RS256":
            signature = self.rsa.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        elif alg == "PS256":
            pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
            signature = self.rsa.sign(signed.encode(), pss, hashes.SHA256())
        elif alg == "ES256":
            r, s = utils.decode_dss_signature(self.ec.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
            signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        elif alg == "HS256":    # the public key as a secret: what must never be taken
            pem = self.rsa.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            signature = hmac.new(pem, signed.encode(), hashlib.sha256).digest()
        else:
            signature = b""
        return f"{signed}.{b64(signature)}"


@pytest.fixture(scope="module")
def issuer():
    return Issuer()


def bearer(token):
    return [("authorization", f"Bearer {token}")]


@pytest.fixture
def jwt_edge(moongate, backend, client, issuer):
    def start(**settings):
        settings = {"jwks": "keys.json", "issuer": "https://id.example", **settings}
        proxy = moongate(
            configuration(backend.address, routes=[route(policies=[{"jwt-auth": settings}])]),
            files={"keys.json": issuer.jwks()})
        return proxy, client(proxy.address)

    return start


@pytest.mark.parametrize("alg, kid", [("RS256", "r1"), ("PS256", "r1"), ("ES256", "e1")])
def test_jwt_auth_takes_signed_tokens(jwt_edge, issuer, alg, kid):
    _, caller = jwt_edge(headers={"sub": "x-user"}, forward=False)
    metadata = bearer(issuer.token(alg, kid)) + [("x-user", "root")]
    for _ in range(3):    # the second one is remembered
        report, _ = caller.probe.Unary.with_call(Order(), metadata=metadata, timeout=5)
        seen = seen_metadata(report)
        assert seen["x-user"] == [b"ada"] and "authorization" not in seen


def test_jwt_auth_refuses_all_others(jwt_edge, issuer):
    _, caller = jwt_edge(claims={"role": ["admin", "clerk"]})
    assert caller.unary(metadata=bearer(issuer.token(role="clerk")))
    good = issuer.token(role="clerk")
    stranger = Issuer().token(role="clerk")
    for metadata in [
        [], bearer("x"), bearer(good[:-8] + "AAAAAAAA"), bearer(stranger), bearer(issuer.token("none", role="clerk")),
        bearer(issuer.token("HS256", role="clerk")), bearer(issuer.token(kid="e1", role="clerk")),
        bearer(issuer.token(exp=int(time.time()) - 120, role="clerk")), bearer(issuer.token(iss="x", role="clerk")),
        [("authorization", good)],
    ]:
        assert caller.refused(metadata=metadata).code() is grpc.StatusCode.UNAUTHENTICATED, metadata
    error = caller.refused(metadata=bearer(issuer.token(role="guest")))
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED


def test_jwt_auth_follows_its_key_file(jwt_edge, issuer):
    proxy, caller = jwt_edge()
    token = issuer.token("ES256", "e1")
    assert caller.unary(metadata=bearer(token))
    proxy.write("keys.json", issuer.jwks("r1"))
    proxy.wait_generation(2)
    assert caller.refused(metadata=bearer(token)).code() is grpc.StatusCode.UNAUTHENTICATED
    assert caller.unary(metadata=bearer(issuer.token()))


def test_jwt_auth_fetches_its_keys(moongate, backend, upstream, client, issuer):
    published, asked = {"body": "nothing yet"}, []

    def publish(connection, head):
        asked.append(head.get(":path"))
        connection.respond(head.stream, body=published["body"].encode())

    keys = upstream(publish)
    settings = {"jwks_upstream": "keys", "jwks_path": "/keys", "refresh": "1s"}
    proxy = moongate(configuration(
        backend.address, upstreams={"keys": [keys.address]}, routes=[route(policies=[{"jwt-auth": settings}])]))
    caller = client(proxy.address)
    metadata = bearer(issuer.token("ES256", "e1"))

    def code():
        try:
            caller.unary(metadata=metadata)
            return grpc.StatusCode.OK
        except grpc.RpcError as error:
            return error.code()

    eventually(lambda: asked)
    assert code() is grpc.StatusCode.UNAVAILABLE
    published["body"] = issuer.jwks()
    eventually(lambda: code() is grpc.StatusCode.OK, 10)
    published["body"] = "broken"
    count = len(asked)
    eventually(lambda: len(asked) > count + 1, 15)
    assert code() is grpc.StatusCode.OK
    published["body"] = issuer.jwks("r1")
    eventually(lambda: code() is grpc.StatusCode.UNAUTHENTICATED, 15)


def test_jwt_auth_with_a_secret_of_the_configuration(moongate, backend, client):
    secret = "0123456789abcdef0123456789abcdef"
    proxy = moongate(
        configuration(
            backend.address, routes=[route(policies=[{"jwt-auth": {"secret": "session"}}])],
            secrets={"session": {"file": "session-key"}}),
        files={"session-key": secret + "\n"})
    signed = b64(b'{"alg":"HS256"}') + "." + b64(json.dumps({"exp": int(time.time()) + 60}).encode())
    token = signed + "." + b64(hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest())
    caller = client(proxy.address)
    assert caller.unary(metadata=bearer(token))
    assert caller.refused(metadata=bearer(token[:-2] + "AA")).code() is grpc.StatusCode.UNAUTHENTICATED
    assert secret not in "\n".join(proxy.lines)


def test_api_key(moongate, backend, client):
    keys = {"ci": hashlib.sha256(b"k1").hexdigest(),
            "web": {"sha256": hashlib.sha256(b"k2").hexdigest(), "allow": ["*/Nothing"]}}
    proxy = moongate(
        configuration(backend.address, routes=[route(policies=[{"api-key": {"keys": "keys.json"}}])]),
        files={"keys.json": json.dumps(keys)})
    caller = client(proxy.address)
    report, _ = caller.probe.Unary.with_call(
        Order(), metadata=[("x-api-key", "k1"), ("x-api-key-name", "root")], timeout=5)
    seen = seen_metadata(report)
    assert seen["x-api-key-name"] == [b"ci"] and "x-api-key" not in seen
    assert caller.refused(metadata=[("x-api-key", "k3")]).code() is grpc.StatusCode.UNAUTHENTICATED
    assert caller.refused().code() is grpc.StatusCode.UNAUTHENTICATED
    assert caller.refused(metadata=[("x-api-key", "k2")]).code() is grpc.StatusCode.PERMISSION_DENIED
    proxy.write("keys.json", json.dumps({"new": hashlib.sha256(b"k4").hexdigest()}))
    proxy.wait_generation(2)
    assert caller.refused(metadata=[("x-api-key", "k1")]).code() is grpc.StatusCode.UNAUTHENTICATED
    assert caller.unary(metadata=[("x-api-key", "k4")])


def test_basic_auth(moongate, upstream, connect):
    users = {"ada": bcrypt.hashpw(b"love:lace", bcrypt.gensalt(4)).decode()}
    proxy = moongate(
        configuration(upstream(answer_ok).address, routes=[route(policies=[
            {"basic-auth": {"users": "users.json", "user_header": "x-user"}}])]),
        files={"users.json": json.dumps(users)})
    client = connect(proxy.address)

    def ask(text, content_type="text/plain"):
        extra = [("authorization", "Basic " + base64.b64encode(text.encode()).decode())] if text else []
        return client.call(request(extra=extra, content_type=content_type))[0]

    head = ask("ada:love:lace")
    assert head.get(":status") == "200" and head.get("x-seen-x-user") == "ada"
    assert head.get("x-seen-authorization") is None
    # A zero byte ends a text for crypt(3), and no password.
    for text in ["", "ada:wrong", "eve:love:lace", "ada", "ada:love:lace\0", "ada:love:lace\0x", "ada:"]:
        head = ask(text)
        assert head.get(":status") == "401"
        assert head.get("www-authenticate") == 'Basic realm="moongate", charset="UTF-8"'
    assert ask("ada:wrong", "application/grpc").get("grpc-status") == "16"
