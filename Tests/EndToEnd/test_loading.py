"""Loading is not a hook: long lists, policies that take their time to load, and reloads that are refused."""
import hashlib
import json
import pathlib
import signal

import bcrypt
import grpc
import pytest

from harness.settings import configuration, route
from harness.waiting import eventually

COUNT = 100_000
# Debug builds take many times as long as releases.
PATIENCE = 120


def hashed(password):
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


def login(name, password):
    return [("username", name), ("password", password)]


def users_file(names, password_hash):
    return "".join(f'{name}:\n  password: "{password_hash}"\n  allow: ["*"]\n' for name in names)


def guarded(backend, policy, **more):
    return configuration(backend.address, routes=[route(policies=[policy])], **more)


def started(moongate, *arguments, **options):
    """A proxy that may take long to load."""
    proxy = moongate(*arguments, wait=False, **options)
    proxy.read_ready(proxy.wait_for_line('"message":"ready"', timeout=PATIENCE))
    return proxy


def test_a_hundred_thousand_users_load_and_are_let_in(moongate, backend, client):
    names = [f"user-{number:06d}" for number in range(COUNT)]
    proxy = started(
        moongate, guarded(backend, {"header-auth": {"users": "users.yaml"}}, workers=2),
        files={"users.yaml": users_file(names, hashed("lovelace"))})
    caller = client(proxy.address)
    for name in (names[0], names[COUNT // 2], names[-1]):
        assert caller.unary(metadata=login(name, "lovelace"))
    for name, password in (("user-100000", "lovelace"), (names[7], "wrong")):
        assert caller.refused(metadata=login(name, password)).code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_hundred_thousand_keys_load_and_are_found(moongate, backend, client):
    lines = [f"key-{number:06d}: {hashlib.sha256(b'secret-%d' % number).hexdigest()}\n" for number in range(COUNT)]
    proxy = started(
        moongate, guarded(backend, {"api-key": {"keys": "keys.yaml"}}, workers=2), files={"keys.yaml": "".join(lines)})
    caller = client(proxy.address)
    for number in (0, COUNT // 2, COUNT - 1):
        assert caller.unary(metadata=[("x-api-key", f"secret-{number}")])
    assert caller.refused(metadata=[("x-api-key", f"secret-{COUNT}")]).code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("name, line", [("deny.txt", "{}\n"), ("deny.yaml", "- {}\n")])
def test_a_hundred_thousand_networks_load_and_are_matched(moongate, backend, client, name, line):
    networks = [f"{11 + number // 65536}.{number // 256 % 256}.{number % 256}.0/24" for number in range(COUNT)]
    without = "".join(line.format(network) for network in networks)
    proxy = started(
        moongate, guarded(backend, {"ip-access": {"deny": name}}, workers=2),
        files={name: without + line.format("127.0.0.0/8")})
    assert client(proxy.address).refused().code() is grpc.StatusCode.PERMISSION_DENIED
    proxy.write(name, without)
    proxy.wait_generation(2, timeout=PATIENCE)
    assert client(proxy.address).unary()


def test_moon_file_gives_a_hundred_thousand_lines(moongate, backend, client):
    policy = """
        local lines, known = require("moon").file("customers.txt"), {}
        for _, id in ipairs(lines) do known[id] = true end
        function on_request(handle)
          handle:headers():add("x-found", #lines .. tostring(known["customer-00099999"]))
        end
    """
    proxy = started(
        moongate, guarded(backend, "policies/known.lua"), policies={"known.lua": policy},
        files={"customers.txt": "".join(f"customer-{number:08d}\n" for number in range(COUNT))})
    report = client(proxy.address).unary()
    assert any(field.key == "x-found" and field.value == b"100000true" for field in report.metadata), report


def test_names_that_are_given_twice_are_refused_with_both_lines(moongate, backend):
    text = users_file(["ada", "bob", "ada"], hashed("x"))
    proxy = moongate(
        guarded(backend, {"header-auth": {"users": "users.yaml"}}), files={"users.yaml": text}, wait=False)
    assert proxy.wait() == 2
    assert 'users.yaml:7:1: a key is given more than once (hint: it stands in line 1 already)' in proxy.output()


# Lists that change


@pytest.fixture
def listed(moongate, backend, client):
    """A proxy that asks for users, and a file of two of them."""
    secret = hashed("lovelace")

    def users(*names):
        return users_file(names, secret)

    proxy = moongate(
        guarded(backend, {"header-auth": {"users": "users.yaml"}}), files={"users.yaml": users("ada", "bob")})
    return proxy, client(proxy.address), users


def test_a_removed_user_is_out_as_soon_as_the_file_says_so(listed):
    proxy, caller, users = listed
    for _ in range(2):  # the second one is remembered
        assert caller.unary(metadata=login("ada", "lovelace"))
    proxy.write("users.yaml", users("bob"))
    proxy.wait_generation(2)
    assert caller.refused(metadata=login("ada", "lovelace")).code() is grpc.StatusCode.UNAUTHENTICATED
    assert caller.unary(metadata=login("bob", "lovelace"))


def test_a_changed_password_ends_remembered_logins(listed):
    proxy, caller, users = listed
    assert caller.unary(metadata=login("ada", "lovelace"))
    proxy.write("users.yaml", users_file(["ada"], hashed("byron")))
    proxy.wait_generation(2)
    assert caller.refused(metadata=login("ada", "lovelace")).code() is grpc.StatusCode.UNAUTHENTICATED
    assert caller.unary(metadata=login("ada", "byron"))


def test_a_refused_reload_of_a_list_is_loud(listed):
    proxy, caller, users = listed
    assert proxy.get("/ready?strict") == (200, "ready\n")
    proxy.write("users.yaml", users("bob") + "eve: {password: plain, allow: []}\n")
    loud = "the old list of users stays in force: users that were removed from it still get in"
    entry = proxy.wait_entries(loud)[0]
    assert entry["level"] == "error" and entry["list"] == "users" and entry["file"].endswith("/users.yaml")
    refused = proxy.wait_entries("reload refused, the old generation goes on")[0]
    assert 'users.yaml:4:1: user "eve"' in refused["error"]
    assert caller.unary(metadata=login("ada", "lovelace")), "the old list serves"
    assert proxy.metric("moongate_stale_lists", list="users") == 1
    assert proxy.metric("moongate_stale_lists") == 1
    assert proxy.metric("moongate_last_reload_failed") == 1
    assert proxy.get("/ready") == (200, "ready\n")
    status, body = proxy.get("/ready?strict")
    assert status == 503 and body.startswith("stale")
    for page in ("/generations", "/policies"):
        stale = json.loads(proxy.get(page)[1])["stale_lists"]
        assert [item["list"] for item in stale] == ["users"] and stale[0]["file"].endswith("/users.yaml")
        assert loud in proxy.get(f"{page}?format=text")[1]
    proxy.write("users.yaml", users("bob"))
    proxy.wait_generation(2)
    assert proxy.get("/ready?strict") == (200, "ready\n")
    assert proxy.metric("moongate_stale_lists") == 0 and proxy.metric("moongate_last_reload_failed") == 0
    assert json.loads(proxy.get("/generations")[1])["stale_lists"] == []


def test_a_list_is_stale_whatever_file_is_at_fault(listed):
    proxy, caller, users = listed
    proxy.write("moongate.yaml", "listeners: what\n")
    eventually(lambda: proxy.failed_reloads() == 1, what="the reload is refused")
    assert proxy.metric("moongate_stale_lists") == 0, "the users' file is what serves"
    proxy.write("users.yaml", users("bob"))
    eventually(lambda: proxy.metric("moongate_stale_lists", list="users") == 1, what="the list is stale")
    assert caller.unary(metadata=login("ada", "lovelace"))


# Time to load


BUSY = """
function on_init()
  local start = os.clock()
  while os.clock() - start < 0.3 do end
end
function on_request() end
"""
ENDLESS = "function on_init() while true do end end\nfunction on_request() end\n"


def test_on_init_may_take_longer_than_a_hook(moongate, backend, client):
    proxy = moongate(guarded(backend, "policies/busy.lua", workers=2), policies={"busy.lua": BUSY})
    assert client(proxy.address).unary()


def test_a_hook_of_a_policy_with_time_to_load_is_still_stopped(moongate, backend, client):
    policy = BUSY + "function on_request() while true do end end\n"
    proxy = moongate(
        guarded(backend, {"policy": "policies/busy.lua", "load_time_limit": "60s"}), policies={"busy.lua": policy})
    assert client(proxy.address).refused(timeout=20).code() is grpc.StatusCode.INTERNAL
    entry = proxy.wait_entries(lambda entry: entry.get("reason") == "time_limit")[0]
    assert "time limit of 50 ms exceeded" in entry["message"]


@pytest.mark.parametrize("policy", [
    {"policy": "policies/p.lua", "load_time_limit": "100ms"}, "policies/p.lua"], ids=["its own", "all"])
def test_load_time_limit_is_kept(moongate, backend, policy):
    proxy = moongate(
        guarded(backend, policy, policies={"load_time_limit": "100ms" if policy == "policies/p.lua" else "60s"}),
        policies={"p.lua": ENDLESS}, wait=False)
    assert proxy.wait() == 2
    assert "time limit of 100 ms exceeded" in proxy.output() and "load_time_limit" in proxy.output()


def test_an_endless_load_is_refused_while_signals_are_answered(moongate, backend, client):
    policies = {"load_time_limit": "3s"}
    proxy = moongate(
        guarded(backend, "policies/p.lua", policies=policies, access_log={"path": "access.log"}),
        policies={"p.lua": "function on_request() end\n"})
    caller = client(proxy.address)
    assert caller.unary()
    log = proxy.folder / "access.log"
    eventually(lambda: log.exists() and log.stat().st_size > 0, what="the log has a line")
    proxy.write("policies/p.lua", ENDLESS)
    eventually(lambda: "mg-load" in thread_names(proxy), what="the reload is under way")
    # Signals are obeyed meanwhile, and calls are served.
    log.rename(proxy.folder / "access.old")
    proxy.signal(signal.SIGUSR1)
    eventually(log.exists, 2, what="the log is opened afresh")
    assert "mg-load" in thread_names(proxy), "the reload still goes on"
    assert caller.unary()
    eventually(lambda: proxy.failed_reloads() == 1, 20, what="the reload is refused")
    refused = proxy.wait_entries("reload refused, the old generation goes on")[0]
    assert "time limit of 3000 ms exceeded" in refused["error"]
    assert caller.unary()


def test_the_watch_sees_what_changes_during_a_long_load(moongate, backend, client):
    proxy = moongate(
        guarded(backend, "policies/p.lua", policies={"load_time_limit": "2s"}),
        policies={"p.lua": "function on_request() end\n"})
    proxy.write("policies/p.lua", ENDLESS)
    eventually(lambda: "mg-load" in thread_names(proxy), what="the reload is under way")
    proxy.write("policies/p.lua", "function on_request(handle) handle:headers():add('x-new', '1') end\n")
    proxy.wait_generation(2, timeout=20)
    report = client(proxy.address).unary()
    assert any(field.key == "x-new" for field in report.metadata)


def test_sigterm_ends_the_process_during_a_long_reload(moongate, backend):
    proxy = moongate(
        guarded(backend, "policies/p.lua", policies={"load_time_limit": "60s"}),
        policies={"p.lua": "function on_request() end\n"})
    proxy.write("policies/p.lua", ENDLESS)
    eventually(lambda: "mg-load" in thread_names(proxy), what="the reload is under way")
    proxy.signal(signal.SIGTERM)
    assert proxy.wait(10) == 0


def test_sigterm_ends_the_process_during_a_long_start(moongate, backend):
    proxy = moongate(
        guarded(backend, "policies/p.lua", policies={"load_time_limit": "60s"}), policies={"p.lua": ENDLESS}, wait=False)
    eventually(lambda: "mg-load" in thread_names(proxy), what="the policy is being loaded")
    proxy.signal(signal.SIGTERM)
    assert proxy.wait(5) == 0


def thread_names(proxy):
    """The threads of the process as the kernel knows them."""
    names = set()
    for task in proxy_tasks(proxy):
        try:
            names.add((task / "comm").read_text(encoding="ascii").strip())
        except OSError:
            continue
    return names


def proxy_tasks(proxy):
    folder = pathlib.Path(f"/proc/{proxy.pid}/task")
    return list(folder.iterdir()) if folder.exists() else []
