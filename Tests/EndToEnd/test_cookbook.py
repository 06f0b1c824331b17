"""The recipes of docs/cookbook.md: by their specs, or by real calls where a spec cannot reach."""
import hashlib
import hmac
import json
import re
import threading
import time

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from jwt.algorithms import ECAlgorithm

from harness import documents
from harness.client import seen_metadata
from harness.frame_client import request
from harness.frame_upstream import answer_ok
from harness.proxy import run_command
from harness.settings import configuration, route
from harness.stubs import Order
from harness.waiting import eventually

DOCUMENT = documents.Document(documents.REPOSITORY / "docs" / "cookbook.md")
RECIPES = [block for block in DOCUMENT.blocks if block.language == "lua" and not block.is_fragment]
SPECS = {block.name: block for block in DOCUMENT.blocks if block.language == "lua" and block.is_fragment}
TEXT = {block.name.removeprefix("policies/"): block.text for block in RECIPES}


def spec_of(recipe):
    return SPECS.get(recipe.name.replace(".lua", "_spec.lua"))


WITH_SPEC = pytest.mark.parametrize("recipe", [block for block in RECIPES if spec_of(block)], ids=lambda it: it.name)


# Specs

def run_spec(folder, recipe, text):
    (folder / "policies").mkdir()
    (folder / recipe.name).write_text(text, encoding="utf-8")
    spec = folder / spec_of(recipe).name
    spec.write_text(spec_of(recipe).text, encoding="utf-8")
    return run_command("test", spec)


@WITH_SPEC
def test_the_recipes_pass_their_specs(recipe, tmp_path):
    done = run_spec(tmp_path, recipe, recipe.text)
    assert done.returncode == 0, done.stdout + done.stderr


@WITH_SPEC
def test_the_specs_notice_when_a_hook_does_nothing(recipe, tmp_path):
    hooks = re.findall(r"^function (on_(?:re\w+|grpc_message))", recipe.text, re.MULTILINE)
    for number, hook in enumerate(hooks):
        folder = tmp_path / str(number)
        folder.mkdir()
        done = run_spec(folder, recipe, f"{recipe.text}\nfunction {hook}() end\n")
        assert done.returncode == 1, f"without {hook}:\n{done.stdout}{done.stderr}"


def test_every_recipe_is_tested():
    headings = sum(1 for _, line in DOCUMENT.prose if line.startswith("### "))
    assert headings == len(RECIPES) >= 20
    assert SPECS.keys() == {spec_of(recipe).name for recipe in RECIPES if spec_of(recipe)}
    for recipe in RECIPES:
        name = "test_" + recipe.name.removeprefix("policies/").removesuffix(".lua").replace("-", "_")
        assert spec_of(recipe) or name in globals(), f"{recipe}: neither a spec nor {name}"


# Real calls

def http_answer(connection, head, status="200", body=b"", headers=()):
    connection.send(*connection.headers_frames(head.stream, [(":status", status), *headers], end_stream=not body))
    if body:
        connection.send(connection.data_frame(head.stream, body, end_stream=True))


def head_of(frames):
    return next(frame for frame in frames if frame.type == "Headers")


def text_of(frames):
    return b"".join(frame.data for frame in frames if frame.type == "Data")


@pytest.fixture
def cooked(moongate, backend, client):
    """Starts a proxy with a recipe before the grpcio server, and gives the proxy and a client."""
    def start(name, upstreams=None, files=None, change=lambda text: text, **more):
        text = change(TEXT[name])
        proxy = moongate(
            configuration(backend.address, routes=[route(policies=[f"policies/{name}"])], upstreams=upstreams, **more),
            policies={name: text}, files=files)
        return proxy, client(proxy.address)

    return start


def test_shard(cooked, upstream):
    def directory(connection, head):
        if head.get(":path") == "/shards/nobody":
            return http_answer(connection, head, "404")
        http_answer(connection, head, body=b"shard-7")

    service = upstream(directory)
    _, caller = cooked("shard.lua", {"directory": [service.address]})
    for _ in range(3):
        assert seen_metadata(caller.unary(metadata=[("x-account", "a/1")]))["x-shard"] == [b"shard-7"]
    assert [head.get(":path") for head in service.heads()] == ["/shards/a%2F1"], "the answer is not remembered"
    assert caller.refused(metadata=[("x-account", "nobody")]).code() == grpc.StatusCode.NOT_FOUND
    assert caller.refused().code() == grpc.StatusCode.INVALID_ARGUMENT
    service.close()
    assert caller.refused(metadata=[("x-account", "other")]).code() == grpc.StatusCode.INTERNAL


def test_fetched_keys(cooked, upstream):
    key, other = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    jwk = {**json.loads(ECAlgorithm.to_jwk(key.public_key())), "kid": "1", "alg": "ES256"}
    answers = iter(["503"])

    def identity(connection, head):
        http_answer(connection, head, next(answers, "200"), json.dumps({"keys": [jwk]}).encode())

    proxy, caller = cooked("fetched-keys.lua", {"identity": [upstream(identity).address]},
                           change=lambda text: text.replace("300 or 5", "300 or 0.5"))
    assert proxy.wait_for_line(lambda line: "the keys stay as they are" in line and "status 503" in line)
    token = token_of(key, iss="https://id.example.com/", sub="ada", exp=int(time.time()) + 600)
    report = eventually(lambda: called(caller, token), 10, what="the keys are there")
    assert seen_metadata(report)["x-user"] == [b"ada"]
    for bad in [token_of(other, iss="https://id.example.com/", sub="ada", exp=2**33),
                token_of(key, iss="https://other.example/", sub="ada", exp=2**33),
                token_of(key, iss="https://id.example.com/", sub="ada", exp=1), "none"]:
        error = caller.refused(metadata=[("authorization", f"Bearer {bad}")])
        assert error.code() == grpc.StatusCode.UNAUTHENTICATED


def called(caller, token):
    try:
        return caller.unary(metadata=[("authorization", f"Bearer {token}")])
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.UNAVAILABLE, error
        return None


def token_of(key, **claims):
    return jwt.encode(claims, key, "ES256", {"kid": "1"})


def test_webhook(moongate, upstream, connect):
    server = upstream(answer_ok)
    proxy = moongate(
        configuration(server.address, routes=[route(policies=["policies/webhook.lua"])],
                      secrets={"webhook-key": {"file": "webhook-key"}}, policies={"body_limit": "1KiB"}),
        policies={"webhook.lua": TEXT["webhook.lua"]}, files={"webhook-key": "a secret\n"})
    caller = connect(proxy.address)

    def status(body, sent, signed=None, key=b"a secret"):
        right = hmac.new(key, f"{sent}.".encode() + (signed or body), hashlib.sha256).hexdigest()
        head = request(content_type="application/json", extra=[("x-signature", f"t={sent},v1={right}")])
        return head_of(caller.call(head, body)).get(":status")

    now = int(time.time())
    assert status(b'{"paid": true}', now) == "200"
    assert status(b'{"paid": true}', now, signed=b'{"paid": false}') == "401"
    assert status(b'{"paid": true}', now, key=b"a guess") == "401"
    assert status(b'{"paid": true}', now - 400) == "401"
    assert status(b"a" * 5000, now) == "413"
    assert head_of(caller.call(request(content_type="text/plain"), b"unsigned")).get(":status") == "401"


def test_overload(cooked, backend):
    _, caller = cooked("overload.lua", change=lambda text: text.replace("LIMIT = 100", "LIMIT = 1").replace(
        "shop.Order/Place", "moongate.test.Probe/UnaryTwo"))
    caller.unary()
    done = threading.Event()

    def orders():
        yield Order()
        done.wait(30)

    try:
        stream = caller.probe.Bidi(orders(), timeout=60)
        next(iter(stream))
        error = caller.refused()
        assert error.code() == grpc.StatusCode.UNAVAILABLE and error.details() == "busy, try again"
        pushback = dict(error.initial_metadata() or ()) | dict(error.trailing_metadata() or ())
        assert 1000 <= int(pushback["grpc-retry-pushback-ms"]) <= 2000
        caller.probe.UnaryTwo(Order(), timeout=10)
    finally:
        done.set()
    list(stream)
    eventually(lambda: succeeds(caller), 10, what="calls go through again")


def succeeds(caller):
    try:
        return caller.unary()
    except grpc.RpcError:
        return None


def test_method_timeouts(cooked):
    _, caller = cooked("method-timeouts.lua", change=lambda text: text.replace("Search = 500", "Unary = 100"))
    error = caller.refused(Order(delay_ms=8000), timeout=30)
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert caller.probe.UnaryTwo(Order(delay_ms=300), timeout=30)


def test_error_details(cooked):
    _, caller = cooked("error-details.lua")
    caller.unary(metadata=[("x-plan", "pro")])
    error = caller.refused()
    assert error.code() == grpc.StatusCode.PERMISSION_DENIED
    found = {**dict(error.initial_metadata() or ()), **dict(error.trailing_metadata() or ())}
    status = status_message()
    status.ParseFromString(found["grpc-status-details-bin"])
    assert (status.code, status.message) == (7, "this method needs the pro plan")
    assert status.details[0].type_url == "type.googleapis.com/google.rpc.ErrorInfo"
    assert status.details[0].value == b"\x0a\x0ePLAN_TOO_SMALL\x12\x10shop.example.com"


def status_message():
    """An empty google.rpc.Status."""
    file = descriptor_pb2.FileDescriptorProto(name="status.proto", package="google.rpc", syntax="proto3")
    for name, fields in {
            "Any": [("type_url", 1, 9, 1, ""), ("value", 2, 12, 1, "")],
            "Status": [("code", 1, 5, 1, ""), ("message", 2, 9, 1, ""), ("details", 3, 11, 3, ".google.rpc.Any")],
    }.items():
        message = file.message_type.add(name=name)
        for field, number, kind, label, type_name in fields:
            message.field.add(name=field, number=number, type=kind, label=label, type_name=type_name or None)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("google.rpc.Status"))()


@pytest.mark.parametrize("pieces, seen", [
    ([b"card 4111111111111111 end"], b"card ************1111 end"),
    ([b"card 41111", b"11111111111", b" end"], b"card ************1111 end"),
    ([b"at the end 4111", b"111111111111"], b"at the end ************1111"),
    ([b"short 12345, ", b"long 12345678901234567890"], b"short 12345, long 12345678901234567890"),
])
def test_mask(moongate, upstream, connect, pieces, seen):
    def script(connection, head):
        connection.send(*connection.headers_frames(head.stream, [(":status", "200"), ("content-type", "text/plain")]))
        for piece in pieces[:-1]:
            connection.send(connection.data_frame(head.stream, piece))
        connection.send(connection.data_frame(head.stream, pieces[-1], end_stream=True))

    proxy = moongate(configuration(upstream(script).address, routes=[route(policies=["policies/mask.lua"])]),
                     policies={"mask.lua": TEXT["mask.lua"]})
    assert text_of(connect(proxy.address).call(request(content_type="text/plain"))) == seen


def test_tenant_metrics(cooked):
    proxy, caller = cooked("tenant-metrics.lua", files={"tenants.txt": "acme\numbrella\n"})
    for tenant in ["acme", "acme", "umbrella", "somebody", "anybody"]:
        caller.unary(metadata=[("x-tenant", tenant)])
    caller.unary()
    caller.refused(Order(code=5), metadata=[("x-tenant", "acme")])

    def count(**labels):
        return proxy.metric("shop_calls_total", **labels)

    eventually(lambda: count() == 7, 5, what="all calls are counted")
    assert count(tenant="acme", status="0") == 2 and count(tenant="acme", status="5") == 1
    assert count(tenant="umbrella") == 1 and count(tenant="other") == 2 and count(tenant="none") == 1


def test_enrich(cooked, upstream):
    profiles = upstream(lambda connection, head: http_answer(
        connection, head, body=b'{"language": "fr"}' if head.get(":path") == "/ada" else b"not JSON"))
    proxy, caller = cooked("enrich.lua", {"profiles": [profiles.address]})

    def language(user):
        return seen_metadata(caller.unary(metadata=[("x-user", user)]))["x-language"]

    assert language("ada") == [b"fr"]
    assert language("eve") == [b"en"]
    assert caller.refused().code() == grpc.StatusCode.UNAUTHENTICATED
    profiles.close()
    assert language("bob") == [b"en"]
    eventually(lambda: sum("no profile" in line for line in proxy.lines) == 2, 5, what="the log says why")
