"""header-auth: user names and passwords as metadata, checked against a file of hashes."""
import collections
import json
import threading
import time

import bcrypt
import grpc
import pytest

from harness.client import seen_metadata
from harness.fast_backend import PATH, FastBackend
from harness.frame_client import request
from harness.load import raw_load
from harness.settings import configuration, route
from harness.stubs import HelloRequest, Order
from harness.waiting import eventually


def hashed(password, cost=4, prefix=b"2b"):
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost, prefix)).decode()


def users_file(users):
    """Users by name: (hash, globs of methods)."""
    entries = {name: {"password": password, "allow": list(methods)} for name, (password, methods) in users.items()}
    return json.dumps(entries, indent=2)


def login(name, password):
    return [("username", name), ("password", password)]


USERS = {
    "ada": (hashed("lovelace"), ["*"]),
    "reader": (hashed("reads"), ["moongate.test.Probe/Un*", "helloworld.Greeter/SayHello"]),
    "other": (hashed("others"), ["moongate.test.OtherProbe/*"]),
    "nobody": (hashed("nothing"), []),
    "old": (hashed("prefix", prefix=b"2a").replace("$2a$", "$2y$"), ["*"]),
}


@pytest.fixture
def guarded(moongate, backend, client):
    def start(users=None, **settings):
        policy = {"header-auth": {"users": "users.yaml", **settings}}
        proxy = moongate(
            configuration(backend.address, routes=[route(policies=[policy])]),
            files={"users.yaml": users_file(users or USERS)})
        return proxy, client(proxy.address)

    return start


def test_right_password_is_let_in(guarded):
    _, caller = guarded()
    for _ in range(3):
        assert caller.hello(metadata=login("ada", "lovelace"))
    assert caller.hello(metadata=login("old", "prefix"))


@pytest.mark.parametrize("metadata", [
    [], [("username", "ada")], [("password", "lovelace")], login("ada", "wrong"), login("ada", ""),
    login("", "lovelace"), login("ADA", "lovelace"), login("ghost", "lovelace"),
    login("ada", "lovelac"),
], ids=str)
def test_missing_or_wrong_credentials_are_unauthenticated(guarded, backend, metadata):
    _, caller = guarded()
    error = caller.refused(metadata=metadata)
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert backend.count() == 0, "the call must not reach the upstream"
    assert caller.hello(metadata=login("ada", "lovelace"))


@pytest.mark.parametrize("scheme", ["2b", "2y"])
def test_a_password_of_which_bcrypt_sees_a_part_is_refused(moongate, backend, client, scheme):
    longest = "x" * 72
    proxy = moongate(
        configuration(backend.address, routes=[route(policies=[{"header-auth": {"users": "users.yaml"}}])]),
        files={"users.yaml": users_file({"ada": (hashed(longest).replace("$2b$", f"${scheme}$"), ["*"])})})
    caller = client(proxy.address)
    for _ in range(2):      # the second one is remembered
        assert caller.hello(metadata=login("ada", longest))
    for wrong in (longest + "x", longest + "y" * 500, longest[:-1]):
        assert caller.refused(metadata=login("ada", wrong)).code() is grpc.StatusCode.UNAUTHENTICATED
    assert caller.hello(metadata=login("ada", longest))


def test_methods_are_permitted_by_globs(guarded):
    _, caller = guarded()
    denied = grpc.StatusCode.PERMISSION_DENIED
    reader, other, nobody = login("reader", "reads"), login("other", "others"), login("nobody", "nothing")
    assert caller.unary(metadata=reader).method == "Unary"
    assert caller.probe.UnaryTwo(Order(), timeout=5, metadata=reader).method == "UnaryTwo"
    assert caller.hello(metadata=reader)
    assert caller.refused(method=caller.other.Unary, metadata=reader).code() is denied
    assert caller.other.Unary(Order(), timeout=5, metadata=other)
    assert caller.refused(metadata=other).code() is denied
    assert caller.refused(metadata=nobody).code() is denied
    stream = caller.probe.ServerStream(Order(count=1), timeout=5, metadata=reader)
    with pytest.raises(grpc.RpcError) as failure:
        list(stream)
    assert failure.value.code() is denied


def test_password_is_not_forwarded_unless_asked_for(guarded):
    _, caller = guarded()
    seen = seen_metadata(caller.unary(metadata=login("ada", "lovelace")))
    assert seen["username"] == [b"ada"] and "password" not in seen


def test_password_is_forwarded_if_asked_for(guarded):
    _, caller = guarded(forward_password=True)
    assert seen_metadata(caller.unary(metadata=login("ada", "lovelace")))["password"] == [b"lovelace"]


def test_other_header_names(guarded):
    _, caller = guarded(username="x-user", password="x-secret")
    assert caller.hello(metadata=[("x-user", "ada"), ("x-secret", "lovelace")])
    assert caller.refused(metadata=login("ada", "lovelace")).code() is grpc.StatusCode.UNAUTHENTICATED


def test_plain_http_requests_get_401_and_403(moongate, upstream, connect):
    proxy = moongate(
        configuration(upstream().address, routes=[route(policies=[{"header-auth": {"users": "users.yaml"}}])]),
        files={"users.yaml": users_file(USERS)})
    client = connect(proxy.address)

    def status(metadata):
        return client.call(request(method="GET", path="/x", content_type="", extra=metadata))[0].get(":status")

    assert status([]) == "401"
    assert status(login("nobody", "nothing")) == "403"


def test_changed_users_file_is_in_force_without_a_restart(guarded):
    proxy, caller = guarded()
    assert caller.hello(metadata=login("ada", "lovelace"))
    changed = {**USERS, "ada": (hashed("byron"), ["*"]), "new": (hashed("comer"), ["*"])}
    proxy.write("users.yaml", users_file(changed))
    eventually(lambda: _let_in(caller, "new", "comer"), 5)
    assert not _let_in(caller, "ada", "lovelace"), "a remembered password must be forgotten"
    assert _let_in(caller, "ada", "byron")
    del changed["ada"]
    proxy.write("users.yaml", users_file(changed))
    eventually(lambda: not _let_in(caller, "ada", "byron"), 5)


def _let_in(caller, name, password):
    try:
        return bool(caller.hello(metadata=login(name, password)))
    except grpc.RpcError as error:
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        return False


@pytest.mark.parametrize("content, named", [
    ("ada: {password: plain, allow: ['*']}\n", "ada"), ("ada: {allow: ['*']}\n", "ada"), ("- ada\n", "users"),
    ("ada: [\n", "users.yaml"), ("", "users"), ("ada: {password: '$2b$04$short', allow: []}\n", "ada"),
])
def test_mistake_in_the_users_file_changes_nothing_and_is_logged(guarded, content, named):
    proxy, caller = guarded()
    assert caller.hello(metadata=login("ada", "lovelace"))
    proxy.write("users.yaml", content)
    proxy.wait_for_line(lambda line: "reload refused" in line and named in line, 5)
    assert caller.hello(metadata=login("ada", "lovelace"))


def test_first_check_of_a_costly_hash_blocks_no_other_call(guarded):
    _, caller = guarded({**USERS, "slow": (hashed("password", 13), ["*"])})
    assert caller.hello(metadata=login("ada", "lovelace"))
    waiting = caller.probe.Unary.future(Order(), timeout=20, metadata=login("slow", "password"))
    times = []
    for _ in range(20):
        began = time.monotonic()
        caller.hello(metadata=login("ada", "lovelace"))
        times.append(time.monotonic() - began)
    assert not waiting.done() or waiting.result()
    assert sorted(times)[10] < 0.05, "calls waited for another user's hash"
    assert waiting.result()
    began = time.monotonic()
    caller.unary(metadata=login("slow", "password"))
    assert time.monotonic() - began < 0.2, "the right password was not remembered"


def test_T3_time_that_a_policy_took_is_taken_off_the_deadline(moongate, upstream, connect):
    server = upstream()
    proxy = moongate(
        configuration(server.address, routes=[route(policies=[{"header-auth": {"users": "users.yaml"}}])]),
        files={"users.yaml": users_file({"slow": (hashed("password", 12), ["*"])})})
    client = connect(proxy.address)
    began = time.monotonic()
    client.open(request(extra=[*login("slow", "password"), ("grpc-timeout", "9999m")]), end_stream=True)
    _, head = server.next_request()
    took = time.monotonic() - began
    value = head.get("grpc-timeout")
    left = int(value[:-1]) * {"S": 1, "m": 1e-3, "u": 1e-6, "n": 1e-9}[value[-1]]
    assert 9.999 - took - 0.05 <= left < 9.999 - 0.05, f"{value} after {took:.3f} s"


def test_unknown_users_cost_as_much_as_wrong_passwords(guarded):
    _, caller = guarded({"ada": (hashed("lovelace", 11), ["*"])})

    def cost(name):
        took = []
        for number in range(5):
            began = time.monotonic()
            assert not _let_in(caller, name, f"wrong{number}")
            took.append(time.monotonic() - began)
        return sorted(took)[2]

    known, unknown = cost("ada"), cost("ghost")
    assert 0.4 < known / unknown < 2.5, f"{known * 1000:.0f} ms and {unknown * 1000:.0f} ms"


def test_too_many_checks_at_once_are_resource_exhausted(guarded):
    _, caller = guarded({"ada": (hashed("lovelace", 11), ["*"])})
    calls = [caller.greeter.SayHello.future(HelloRequest(), timeout=60, metadata=login("ada", f"wrong{number}"))
             for number in range(800)]
    codes = {call.exception(60).code() for call in calls}
    assert codes == {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.RESOURCE_EXHAUSTED}, codes
    assert _let_in(caller, "ada", "lovelace")


def test_guesses_of_one_address_refuse_nobody_elses_login(moongate, backend, client):
    """One client keeps 150 wrong passwords under way, many more than may wait."""
    users = {f"user-{number}": (hashed("password", 9), ["*"]) for number in range(12)}
    proxy = moongate(
        configuration(
            backend.address,
            listeners=[{"name": "main", "address": "127.0.0.1:0", "forwarded": {"trusted": ["127.0.0.0/8"]}}],
            routes=[route(policies=[{"header-auth": {"users": "users.yaml"}}])]),
        files={"users.yaml": users_file(users)})
    flood, caller = client(proxy.address), client(proxy.address)
    over, codes = threading.Event(), collections.Counter()

    def guess():
        waiting, number = collections.deque(), 0
        while not over.is_set():
            number += 1
            waiting.append(flood.greeter.SayHello.future(
                HelloRequest(), timeout=60,
                metadata=[*login("user-0", f"wrong{number}"), ("x-forwarded-for", "192.0.2.66")]))
            waiting[-1].add_done_callback(lambda call: codes.update([call.code()]))
            if len(waiting) >= 150:
                waiting.popleft().exception(60)
        for call in waiting:
            call.cancel()

    thread = threading.Thread(target=guess)
    thread.start()
    try:
        eventually(lambda: codes[grpc.StatusCode.RESOURCE_EXHAUSTED] > 50, timeout=60, what="the queue is full")
        for number in range(12):
            metadata = [*login(f"user-{number}", "password"), ("x-forwarded-for", f"192.0.2.{number}")]
            assert caller.hello(metadata=metadata)
    finally:
        over.set()
        thread.join()
    assert set(codes) - {grpc.StatusCode.CANCELLED} == {
        grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.RESOURCE_EXHAUSTED}, codes


@pytest.mark.slow
@pytest.mark.figures
@pytest.mark.timeout(120)
def test_two_hundred_wrong_passwords_a_second_do_not_slow_a_client_that_is_logged_in(moongate, tmp_path):
    server = FastBackend(tmp_path)
    try:
        proxy = moongate(
            configuration(server.address, routes=[route(policies=[{"header-auth": {"users": "users.yaml"}}])]),
            files={"users.yaml": users_file({"ada": (hashed("lovelace", 10), ["*"])})})
        quiet, stormy = [], []
        for _ in range(3):
            quiet.append(_latency(proxy, None))
            stormy.append(_latency(proxy, 200))
        print(f"\np99 of a client that is logged in: quiet {quiet} ms, under attack {stormy} ms")
        # Below some milliseconds the figures show the scheduler's slices on a machine that also runs the load; a check
        # on the event loop itself would show as its 66 ms.
        assert sorted(stormy)[1] <= max(2 * sorted(quiet)[1], 8), (quiet, stormy)
    finally:
        server.stop()


def _latency(proxy, attacks):
    """p99 in milliseconds of a logged-in client, with so many wrong passwords a second beside it."""
    attack = raw_load(proxy.address, 6, rate=attacks, connections=2, path=PATH,
                      headers=["username: ada", "password: @@@@@@@@@@@@"]) if attacks else None
    if attack:
        time.sleep(1)
    said = raw_load(proxy.address, 4, rate=300, connections=2, path=PATH,
                    headers=["username: ada", "password: lovelace"]).result()
    assert set(said["outcomes"]) == {"0"} and said["unanswered"] == 0, said
    if attack:
        attacked = attack.result()
        assert set(attacked["outcomes"]) <= {"16", "8"} and attacked["unanswered"] == 0, attacked
    return said["p99"]
