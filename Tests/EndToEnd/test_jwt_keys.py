"""jwt-auth's keys: a public key is never a secret, whatever its file looks like. Tokens by PyJWT."""
import base64
import datetime
import hashlib
import hmac
import json
import time

import grpc
import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from jwt.algorithms import ECAlgorithm

from harness.client import seen_metadata
from harness.frame_client import request
from harness.frame_upstream import answer_ok
from harness.proxy import run_command
from harness.settings import configuration, route, text
from harness.stubs import Order
from harness.waiting import eventually

SECRET = "0123456789abcdef0123456789abcdef"
PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER
PUBLIC = serialization.PublicFormat.SubjectPublicKeyInfo
PKCS8, OPEN = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
CURVE = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)
EDWARDS = ed25519.Ed25519PrivateKey.generate()
CURVE_PEM = CURVE.public_key().public_bytes(PEM, PUBLIC)
RSA_PEM = RSA.public_key().public_bytes(PEM, PUBLIC)


def certificate(key):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "idp")])
    now = datetime.datetime.now(datetime.timezone.utc)
    return (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
            .serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
            .sign(key, hashes.SHA256()).public_bytes(PEM))


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def claims(**more):
    return {"sub": "ada", "exp": int(time.time()) + 600, **more}


def forged(secret, algorithm="HS256"):
    """As PyJWT would, which refuses to sign with what looks like a public key."""
    signed = b64(json.dumps({"alg": algorithm, "typ": "JWT"}).encode()) + b"." + b64(json.dumps(claims()).encode())
    digest = {"HS384": hashlib.sha384, "HS512": hashlib.sha512}.get(algorithm, hashlib.sha256)
    return (signed + b"." + b64(hmac.new(secret, signed, digest).digest())).decode()


def bearer(token):
    return [("authorization", f"Bearer {token}")]


@pytest.fixture
def guard(moongate, backend, client):
    """jwt-auth with settings and files; files may be bytes."""

    def start(files, secrets=None, **settings):
        held = {name: content.decode("latin-1") if isinstance(content, bytes) else content
                for name, content in files.items()}
        assert all(content.isascii() or isinstance(files[name], str) for name, content in held.items())
        proxy = moongate(
            configuration(backend.address, routes=[route(policies=[{"jwt-auth": settings}])], secrets=secrets or {}),
            files=held)
        return client(proxy.address)

    return start


def allowed(caller, token):
    try:
        caller.unary(metadata=bearer(token))
        return True
    except grpc.RpcError as error:
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED, error
        return False


FILES = {
    "as it should be": CURVE_PEM, "an empty line before": b"\n" + CURVE_PEM,
    "a byte order mark before": b"\xef\xbb\xbf" + CURVE_PEM, "a comment before": b"# idp\n" + CURVE_PEM,
    "Bag Attributes before": b"Bag Attributes\n    friendlyName: idp\n" + CURVE_PEM,
    "CRLF": CURVE_PEM.replace(b"\n", b"\r\n"), "text behind": CURVE_PEM + b"\nof the identity provider\n",
    "a certificate": certificate(CURVE), "text before a certificate": b"Certificate:\n    Data:\n" + certificate(CURVE),
    "a chain": certificate(CURVE) + certificate(RSA),
}


@pytest.mark.parametrize("content", FILES.values(), ids=FILES)
def test_a_public_key_is_found_in_its_file_and_is_no_secret(guard, content):
    caller = guard({"idp.pem": content.decode("utf-8")}, key="idp.pem")
    assert allowed(caller, jwt.encode(claims(), CURVE, "ES256"))
    for secret in (content, content.strip(), CURVE_PEM, CURVE_PEM.strip(), b""):
        for algorithm in ("HS256", "HS384", "HS512", "none", "NONE", "ES256"):
            assert not allowed(caller, forged(secret, algorithm)), (secret, algorithm)
    assert not allowed(caller, jwt.encode(claims(), None, "none"))
    assert not allowed(caller, jwt.encode(claims(), RSA, "RS256"))


NO_KEYS = {
    "a secret": SECRET.encode(), "nothing": b"", "a line break": b"\n",
    "broken markers": CURVE_PEM.replace(b"-----", b"----"), "lower case": CURVE_PEM.lower(),
    "UTF-16": CURVE_PEM.decode().encode("utf-16"), "DER": CURVE.public_key().public_bytes(DER, PUBLIC),
    "a private key": CURVE.private_bytes(PEM, PKCS8, OPEN),
    "an encrypted key": CURVE.private_bytes(PEM, PKCS8, serialization.BestAvailableEncryption(b"secret")),
    "a cut file": CURVE_PEM[:100], "two keys": CURVE_PEM + RSA_PEM,
    "a JWK": b'{"kty":"oct","k":"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"}',
    "Base64 alone": b"".join(CURVE_PEM.splitlines()[1:-1]),
    "OpenSSH": CURVE.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH),
}


@pytest.mark.parametrize("content", NO_KEYS.values(), ids=NO_KEYS)
def test_a_key_without_a_public_key_in_PEM_is_a_fault(tmp_path, content):
    path = tmp_path / "moongate.yaml"
    path.write_text(text(configuration(
        "127.0.0.1:1", routes=[route(policies=[{"jwt-auth": {"key": "hmac.txt"}}])])))
    (tmp_path / "hmac.txt").write_bytes(content)
    for command in ("check", "run"):
        done = run_command(command, "--config", path)
        assert done.returncode == 2 and "key: hmac.txt: " in done.stderr
        assert f"{path}:" in done.stderr, "the place in the configuration"
        if b"-----BEGIN" not in content:
            assert 'write `secret: hmac` here and `secrets: {hmac: {file: "hmac.txt"}}`' in done.stderr
        else:
            assert "secret: hmac" not in done.stderr


def test_the_line_to_write_is_right(guard):
    caller = guard({"hmac.txt": SECRET}, secrets={"hmac": {"file": "hmac.txt"}}, secret="hmac")
    assert allowed(caller, jwt.encode(claims(), SECRET, "HS256"))
    assert not allowed(caller, jwt.encode(claims(), SECRET[::-1], "HS256"))
    assert not allowed(caller, jwt.encode(claims(), CURVE, "ES256"))


NO_SECRETS = {
    "a public key": CURVE_PEM, "a public key behind a comment": b"\n# idp\n" + CURVE_PEM, "a certificate": certificate(CURVE),
    "a marker": b"x" * 40 + b"-----BEGIN", "UTF-16": CURVE_PEM.decode().encode("utf-16"),
    "DER": CURVE.public_key().public_bytes(DER, PUBLIC), "Base64 alone": b"".join(CURVE_PEM.splitlines()[1:-1]),
    "broken markers": CURVE_PEM.replace(b"-----", b"----"), "a JWK": b'{"kty":"EC","crv":"P-256"}',
    "Base64 of PEM": base64.b64encode(CURVE_PEM),
}


@pytest.mark.parametrize("content", NO_SECRETS.values(), ids=NO_SECRETS)
def test_a_secret_that_holds_a_key_is_a_fault(tmp_path, content):
    path = tmp_path / "moongate.yaml"
    path.write_text(text(configuration(
        "127.0.0.1:1", routes=[route(policies=[{"jwt-auth": {"secret": "idp"}}])], secrets={"idp": {"file": "idp"}})))
    (tmp_path / "idp").write_bytes(content)
    (tmp_path / "idp").chmod(0o600)
    done = run_command("check", "--config", path)
    assert done.returncode == 2 and "secret: idp: secret holds" in done.stderr, done.stderr


KEYS = {
    "RSA": (RSA, ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]), "P-256": (CURVE, ["ES256"]),
    "P-384": (ec.generate_private_key(ec.SECP384R1()), ["ES384"]),
    "P-521": (ec.generate_private_key(ec.SECP521R1()), ["ES512"]), "Ed25519": (EDWARDS, ["EdDSA"]),
}


@pytest.mark.parametrize("kind", KEYS)
def test_a_key_takes_the_algorithms_of_its_type_and_no_others(guard, kind):
    key, algorithms = KEYS[kind]
    pem = key.public_key().public_bytes(PEM, PUBLIC).decode()
    caller = guard({"idp.pem": pem}, key="idp.pem")
    for other, (private, names) in KEYS.items():
        for name in names:
            assert allowed(caller, jwt.encode(claims(), private, name)) == (other == kind), name
    for name in ("HS256", "HS384", "HS512", "none"):
        assert not allowed(caller, forged(pem.encode(), name)), name


def jwk(key, **more):
    return {**json.loads(ECAlgorithm.to_jwk(key.public_key())), **more}


def octets(**more):
    return {"kty": "oct", "k": b64(SECRET.encode()).decode(), **more}


def test_a_fetched_secret_is_ignored(moongate, backend, upstream, client):
    def publish(connection, head):
        body = json.dumps({"keys": [octets(kid="shared"), jwk(CURVE, kid="one"), octets()]})
        connection.respond(head.stream, body=body.encode())

    settings = {"jwks_upstream": "keys", "refresh": "1s"}
    proxy = moongate(configuration(
        backend.address, upstreams={"keys": [upstream(publish).address]}, routes=[route(policies=[{"jwt-auth": settings}])]))
    caller = client(proxy.address)

    def arrived():
        try:
            return allowed(caller, jwt.encode(claims(), CURVE, "ES256", {"kid": "one"}))
        except AssertionError:
            return False

    eventually(arrived, 10, what="the keys are there")
    for kid in ({"kid": "shared"}, {"kid": "one"}, {}):
        assert not allowed(caller, jwt.encode(claims(), SECRET, "HS256", kid)), kid


def test_a_secret_in_a_file_of_public_keys_is_a_fault(tmp_path):
    path = tmp_path / "moongate.yaml"
    path.write_text(text(configuration(
        "127.0.0.1:1", routes=[route(policies=[{"jwt-auth": {"jwks": "keys.json"}}])])))
    for keys in ([octets()], [jwk(CURVE), octets(kid="a")]):
        (tmp_path / "keys.json").write_text(json.dumps({"keys": keys}))
        done = run_command("check", "--config", path)
        assert done.returncode == 2 and "jwks: keys.json: a key of type oct is a secret" in done.stderr
        assert "secret_jwks" in done.stderr


def test_secrets_by_name_stand_in_a_secret(guard):
    files = {"keys.json": json.dumps({"keys": [octets(kid="a"), octets(kid="b", k=b64(b"x" * 32).decode())]})}
    caller = guard(files, secrets={"keys": {"file": "keys.json"}}, secret_jwks="keys")
    assert allowed(caller, jwt.encode(claims(), SECRET, "HS256", {"kid": "a"}))
    assert allowed(caller, jwt.encode(claims(), "x" * 32, "HS256", {"kid": "b"}))
    assert not allowed(caller, jwt.encode(claims(), SECRET, "HS256", {"kid": "b"}))
    assert not allowed(caller, jwt.encode(claims(), CURVE, "ES256", {"kid": "a"}))


def test_what_a_jwk_says_of_itself_holds(guard):
    other = ec.generate_private_key(ec.SECP256R1())
    keys = [jwk(CURVE, kid="sig", alg="ES256", use="sig"), jwk(other, kid="enc", use="enc"),
            jwk(other, kid="mac", alg="HS256"), jwk(other, kid="ops", key_ops=["encrypt"])]
    caller = guard({"keys.json": json.dumps({"keys": keys})}, jwks="keys.json")
    assert allowed(caller, jwt.encode(claims(), CURVE, "ES256", {"kid": "sig"}))
    for kid in ("enc", "mac", "ops", "sig"):
        assert not allowed(caller, jwt.encode(claims(), other, "ES256", {"kid": kid})), kid


def test_the_cookie_that_held_the_token_is_not_forwarded(moongate, upstream, connect):
    server = upstream(answer_ok)
    settings = {"key": "idp.pem", "cookie": "session", "forward": False}
    proxy = moongate(
        configuration(server.address, routes=[route(policies=[{"jwt-auth": settings}])]),
        files={"idp.pem": CURVE_PEM.decode()})
    caller = connect(proxy.address)
    token = jwt.encode(claims(), CURVE, "ES256")

    def left(*fields, extra=()):
        head = request(content_type="text/plain", extra=[("cookie", field) for field in fields] + list(extra))
        caller.call(head)
        seen = server.heads()[-1]
        assert token not in str(seen)
        return seen.all("cookie")

    joined = "; ".join
    assert left(f"session={token}") == []
    assert joined(left(f"a=1; session={token}; b=\"2\"")) == 'a=1; b="2"'
    assert joined(left("a=1", f"session={token}", "b=2")) == "a=1; b=2"
    assert joined(left(f"session={token}; xsession=1", "session=old; c=3")) == "xsession=1; c=3"
    assert joined(left("a=1", f"session={token}", extra=bearer(token))) == "a=1"


def test_the_cookie_is_forwarded_unless_somebody_says_otherwise(guard, backend):
    caller = guard({"idp.pem": CURVE_PEM.decode()}, key="idp.pem", cookie="session")
    token = jwt.encode(claims(), CURVE, "ES256")
    report, _ = caller.probe.Unary.with_call(Order(), metadata=[("cookie", f"a=1; session={token}")], timeout=5)
    assert seen_metadata(report)["cookie"] == [f"a=1; session={token}".encode()]
