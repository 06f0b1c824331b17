"""Hot reload: one atomic generation or nothing, and no call lost."""
import json
import os
import signal
import threading
import time

import grpc
import pytest

from harness.client import Client, seen_metadata
from harness.ports import free_port
from harness.settings import configuration, route, text
from harness.stubs import Order
from harness.waiting import background, eventually, stays_true


def marking(word):
    """A policy that puts a word on requests and answers."""
    return f"""
        function on_request(handle) handle:headers():add("x-mark", "{word}") end
        function on_response(handle) handle:headers():add("x-mark", "{word}") end"""


@pytest.fixture
def marked(moongate, backend, client):
    """A proxy whose policy marks requests with `one`."""
    settings = configuration(backend.address, routes=[route(policies=[{"policy": "policies/mark.lua"}])])
    proxy = moongate(settings, policies={"mark.lua": marking("one")})
    return proxy, client(proxy.address)


def mark(caller):
    return seen_metadata(caller.unary())["x-mark"][0].decode()


def test_sighup_applies_a_changed_policy(marked):
    proxy, caller = marked
    assert mark(caller) == "one"
    proxy.overwrite("policies/mark.lua", marking("two"))
    proxy.signal(signal.SIGHUP)
    eventually(lambda: mark(caller) == "two", 5)
    assert proxy.metric("moongate_downstream_accepted_total") == 1, "the connection was kept"


@pytest.mark.parametrize("how", ["write", "overwrite"])
def test_file_watch_applies_a_changed_policy(marked, how):
    """Renamed over, as editors do, and written in place."""
    proxy, caller = marked
    assert mark(caller) == "one"
    began = time.monotonic()
    getattr(proxy, how)("policies/mark.lua", marking("two"))
    eventually(lambda: mark(caller) == "two", 5)
    assert time.monotonic() - began < 2.5
    getattr(proxy, how)("policies/mark.lua", marking("three"))
    eventually(lambda: mark(caller) == "three", 5)


def test_file_watch_applies_a_changed_configuration(moongate, backends, client):
    one, two = backends("one", "two")
    proxy = moongate(configuration(one.address))
    caller = client(proxy.address)
    assert caller.unary().backend == "one"
    proxy.configure(configuration(two.address))
    eventually(lambda: caller.unary().backend == "two", 5)


def test_kubernetes_data_symlink_swap_is_seen(moongate, backend, client, tmp_path):
    """A mounted ConfigMap: `policies/mark.lua -> ..data/mark.lua`, `..data -> ..first`; the kubelet swaps `..data`."""
    folder = tmp_path / "moongate0" / "policies"
    for name, word in (("..first", "one"), ("..second", "two")):
        (folder / name).mkdir(parents=True)
        (folder / name / "mark.lua").write_text(marking(word))
    (folder / "..data").symlink_to("..first")
    (folder / "mark.lua").symlink_to("..data/mark.lua")
    proxy = moongate(configuration(backend.address, routes=[route(policies=[{"policy": "policies/mark.lua"}])]))
    caller = client(proxy.address)
    assert mark(caller) == "one"
    (folder / "..data_tmp").symlink_to("..second")
    os.rename(folder / "..data_tmp", folder / "..data")
    eventually(lambda: mark(caller) == "two", 5)


def test_configuration_behind_a_symlink_swap_is_seen(moongate, backends, client, tmp_path):
    one, two = backends("one", "two")
    folder = tmp_path / "moongate0"
    for name, server in (("..first", one), ("..second", two)):
        (folder / name).mkdir(parents=True)
        (folder / name / "moongate.yaml").write_text(text(configuration(server.address)))
    (folder / "..data").symlink_to("..first")
    (folder / "moongate.yaml").symlink_to("..data/moongate.yaml")
    proxy = moongate(None)
    caller = client(proxy.address)
    assert caller.unary().backend == "one"
    (folder / "..data_tmp").symlink_to("..second")
    os.rename(folder / "..data_tmp", folder / "..data")
    eventually(lambda: caller.unary().backend == "two", 5)


@pytest.mark.parametrize("fault, named", [
    ({"policies/mark.lua": "function on_request(h"}, "mark.lua:1"),
    ({"policies/mark.lua": "error('at load time')"}, "at load time"),
    ({"policies/mark.lua": "function on_init() error('in on_init') end"}, "in on_init"),
    ({"moongate.yaml": "listeners: [\n"}, "moongate.yaml:"),
    ({"moongate.yaml": "listners: []\nroutes: []\n"}, "did you mean"),
    ({"moongate.yaml": ""}, "moongate.yaml"),
], ids=["syntax", "chunk", "on_init", "yaml", "unknown key", "empty"])
def test_faulty_files_keep_the_old_generation_and_the_log_says_where(marked, fault, named):
    proxy, caller = marked
    assert mark(caller) == "one"
    generation = proxy.generation()
    for name, content in fault.items():
        proxy.overwrite(name, content)
    said = proxy.refused_reload()
    assert named in said, said
    assert mark(caller) == "one"
    assert proxy.generation() == generation
    assert proxy.metric("moongate_last_reload_failed") == 1
    assert proxy.get("/ready")[0] == 200
    proxy.configure(proxy.configuration)
    proxy.write("policies/mark.lua", marking("mended"))
    eventually(lambda: mark(caller) == "mended", 5)
    eventually(lambda: proxy.metric("moongate_last_reload_failed") == 0, 10, what="the last reload has not failed")


def test_reload_is_all_or_nothing(moongate, backends, client):
    """A good change of the configuration does not come into force with a broken policy."""
    one, two = backends("one", "two")
    routes = [route(policies=[{"policy": "policies/mark.lua"}])]
    proxy = moongate(configuration(one.address, routes=routes), policies={"mark.lua": marking("one")})
    caller = client(proxy.address)
    proxy.write("policies/mark.lua", "function on_request(")
    proxy.configure(configuration(two.address, routes=routes))
    proxy.refused_reload()
    assert caller.unary().backend == "one" and mark(caller) == "one"


def test_removed_policy_file_keeps_the_old_generation(marked):
    proxy, caller = marked
    (proxy.folder / "policies/mark.lua").unlink()
    assert "mark.lua" in proxy.refused_reload()
    assert mark(caller) == "one"


def test_changed_number_of_workers_is_refused_with_a_message(marked):
    proxy, caller = marked
    proxy.configure({**proxy.configuration, "workers": 2})
    said = proxy.refused_reload()
    assert "workers" in said and "restart" in said
    assert mark(caller) == "one"


def test_stream_keeps_its_generation_for_both_hooks(moongate, upstream, connect):
    server = upstream()
    proxy = moongate(
        configuration(server.address, routes=[route(policies=[{"policy": "policies/mark.lua"}])]),
        policies={"mark.lua": marking("one")})
    client = connect(proxy.address)
    old = client.open(end_stream=True)
    connection, old_head = server.next_request()
    proxy.write("policies/mark.lua", marking("two"))
    proxy.reload()
    new = client.open(end_stream=True)
    new_connection, new_head = server.next_request()
    assert new_connection is connection, "the upstream connection is carried over"
    assert (old_head.get("x-mark"), new_head.get("x-mark")) == ("one", "two")
    connection.respond(new_head.stream)
    connection.respond(old_head.stream)
    assert client.answer(new)[0].get("x-mark") == "two"
    assert client.answer(old)[0].get("x-mark") == "one"


def test_streams_survive_many_reloads(marked):
    proxy, caller = marked
    more = threading.Semaphore(0)

    def orders():
        for _ in range(20):
            more.acquire()
            yield Order(answer_bytes=3)

    call = caller.probe.Bidi(orders(), timeout=60)
    for number in range(20):
        more.release()
        assert next(call).index == number
        if number % 2:
            proxy.write("policies/mark.lua", marking(f"n{number}"))
            proxy.reload()
            assert mark(caller) == f"n{number}"
    assert call.code() is grpc.StatusCode.OK or list(call) == []
    assert proxy.metric("moongate_upstream_connects_total", upstream="main", result="success") == 1


def test_upstream_connections_and_counters_are_carried_over(marked):
    proxy, caller = marked
    for _ in range(5):
        caller.unary()
    proxy.write("policies/mark.lua", marking("two"))
    proxy.reload()
    for _ in range(5):
        caller.unary()
    assert proxy.metric("moongate_upstream_connects_total", upstream="main", result="success") == 1
    eventually(lambda: proxy.metric("moongate_requests_total", route="all", grpc_status=0) == 10, 2)


def test_vms_are_carried_over_if_no_policy_changed(moongate, backend, client):
    counting = 'n = 0\nfunction on_request(h) n = n + 1 h:headers():add("x-mark", n) end'
    settings = configuration(backend.address, routes=[route(policies=[{"policy": "policies/n.lua"}])])
    proxy = moongate(settings, policies={"n.lua": counting})
    caller = client(proxy.address)
    assert [mark(caller) for _ in range(3)] == ["1", "2", "3"]
    proxy.configure({**settings, "drain": {"delay": "1s", "grace": "5s"}})
    proxy.reload()
    assert mark(caller) == "4"
    proxy.write("policies/n.lua", counting + " -- changed")
    proxy.reload()
    assert mark(caller) == "1"


def test_balancer_goes_on_where_it_was(moongate, backends, client):
    servers = backends("a", "b", "c")
    settings = configuration(upstreams={"main": [server.address for server in servers]})
    proxy = moongate(settings)
    caller = client(proxy.address)
    seen = []
    for number in range(12):
        seen.append(caller.unary().backend)
        proxy.configure({**settings, "drain": {"delay": f"{number + 1}s", "grace": "5s"}})
        proxy.reload()
    assert {name: seen.count(name) for name in "abc"} == {"a": 4, "b": 4, "c": 4}, seen


def two_listeners(backend, *names):
    return configuration(backend.address, listeners=[{"name": name, "address": "127.0.0.1:0"} for name in names])


def test_added_listener_serves_and_removed_listener_drains(moongate, backend, client):
    port = free_port()
    first = {"name": "first", "address": "127.0.0.1:0"}
    second = {"name": "second", "address": f"127.0.0.1:{port}"}
    proxy = moongate(configuration(backend.address, listeners=[first]))
    staying = client(proxy.address)
    staying.hello()
    proxy.configure(configuration(backend.address, listeners=[first, second]))
    proxy.reload()
    leaving = client(f"127.0.0.1:{port}")
    assert leaving.hello()
    call = leaving.probe.ServerStream(Order(count=10, delay_ms=150), timeout=20)
    next(call)
    proxy.configure(configuration(backend.address, listeners=[first]))
    proxy.reload()
    assert staying.hello()
    eventually(lambda: not _accepts(port), 5, what="the removed listener no longer accepts")
    assert len(list(call)) == 9, "a stream of the removed listener goes on to its end"
    assert staying.hello()


def _accepts(port):
    import socket
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def test_generations_of_listeners_that_are_gone_end(moongate, backend):
    def named(number, port):
        return configuration(backend.address, listeners=[
            {"name": "stays", "address": "127.0.0.1:0"}, {"name": f"goes{number}", "address": f"127.0.0.1:{port}"}])

    port = free_port()
    proxy = moongate(named(0, port))
    for number in range(1, 6):
        with Client(f"127.0.0.1:{port}") as caller:
            caller.hello()
            port = free_port()
            proxy.configure(named(number, port))
            proxy.reload()
    eventually(lambda: len(json.loads(proxy.get("/generations")[1])["generations"]) == 1, 15,
               what="the newest generation alone")


def test_listener_that_cannot_be_bound_rejects_the_reload(moongate, backend, client):
    import socket
    with socket.create_server(("127.0.0.1", 0)) as taken:
        proxy = moongate(configuration(backend.address))
        caller = client(proxy.address)
        busy = {"name": "busy", "address": f"127.0.0.1:{taken.getsockname()[1]}"}
        proxy.configure(configuration(backend.address, listeners=[{"name": "main", "address": "127.0.0.1:0"}, busy]))
        assert str(taken.getsockname()[1]) in proxy.refused_reload()
        assert caller.hello()


def test_new_stream_on_an_old_connection_takes_the_newest_generation(moongate, backend, client):
    settings = configuration(backend.address)
    proxy = moongate(settings)
    caller = client(proxy.address)
    caller.hello()
    proxy.configure({**settings, "routes": []})
    proxy.reload()
    assert caller.refused().code() is grpc.StatusCode.UNIMPLEMENTED
    assert proxy.metric("moongate_downstream_accepted_total") == 1


def test_unchanged_files_make_no_new_generation(marked):
    proxy, caller = marked
    generation = proxy.generation()
    proxy.signal(signal.SIGHUP)
    proxy.write("policies/mark.lua", marking("one"))
    stays_true(lambda: proxy.generation() == generation, 1.5)
    assert mark(caller) == "one"


def test_burst_of_writes_is_one_reload(marked):
    proxy, caller = marked
    generation = proxy.generation()
    for number in range(20):
        proxy.write("policies/mark.lua", marking(f"burst{number}"))
        time.sleep(0.01)
    eventually(lambda: mark(caller) == "burst19", 5)
    assert proxy.generation() - generation <= 2


def test_endless_burst_is_applied_within_a_second_or_so(marked):
    proxy, caller = marked
    def write(stop):
        number = 0
        while not stop.is_set():
            proxy.write("policies/mark.lua", marking(f"w{number}"))
            number += 1
            stop.wait(0.03)

    with background(write):
        eventually(lambda: mark(caller) != "one", 3)


def test_half_written_configuration_is_never_applied(moongate, backend, client):
    """A file that is cut off often is still YAML; what is applied must be one of the whole versions."""
    def whole(number):
        routes = [route(name=f"n{number}", policies=[{"headers": {"request": {"set": {"x-mark": f"v{number}"}}}}])]
        return text(configuration(backend.address, routes=routes)) + "# padding\n" * 2000 + f"# end {number}\n"

    proxy = moongate(whole(0))
    caller = client(proxy.address)
    for number in range(1, 15):
        content = whole(number)
        with open(proxy.file, "w", encoding="utf-8") as file:
            for start in range(0, len(content), 3000):
                file.write(content[start:start + 3000])
                file.flush()
                time.sleep(0.02)
        assert mark(caller).startswith("v")
    eventually(lambda: mark(caller) == "v14", 5)


def test_calls_all_along_a_series_of_reloads_all_succeed(marked):
    proxy, _ = marked
    counts, failures = [0] * 4, []

    def calls(number):
        def run(stop):
            with Client(proxy.address) as caller:
                while not stop.is_set():
                    try:
                        caller.unary(Order(payload=b"x" * 500), timeout=5)
                        counts[number] += 1
                    except grpc.RpcError as error:
                        failures.append(error)
        return run

    with background(*map(calls, range(4))):
        for number in range(15):
            proxy.write("policies/mark.lua", marking(f"n{number}"))
            proxy.reload()
    assert not failures and min(counts) > 10


@pytest.mark.figures
def test_old_generations_are_freed(marked):
    proxy, caller = marked
    for number in range(30):
        proxy.write("policies/mark.lua", marking(f"warm{number}"))
        proxy.reload()
        mark(caller)
    before = proxy.resident_bytes()
    for number in range(100):
        proxy.write("policies/mark.lua", marking(f"again{number}"))
        proxy.reload()
        mark(caller)
    growth = proxy.resident_bytes() - before
    assert growth < 6 << 20, f"{growth / (1 << 20):.1f} MiB after 100 reloads"


def test_upstream_connections_get_and_lose_their_settings(moongate, backend, client):
    """`connection` of an upstream is added and removed, and the calls go on."""
    def settings(**more):
        return configuration(upstreams={"main": {"endpoints": [backend.address], **more}})

    def connects():
        return proxy.metric("moongate_upstream_connects_total", upstream="main")

    proxy = moongate(settings())
    caller = client(proxy.address)
    assert caller.unary() and caller.unary() and connects() == 1
    proxy.configure(settings(connection={"max_idle": "1s"}))
    proxy.wait_generation(2)
    assert caller.unary() and connects() == 2
    time.sleep(1.6)
    assert caller.unary() and connects() == 3, "the idle connection has been closed"
    proxy.configure(settings())
    proxy.wait_generation(3)
    assert caller.unary() and connects() == 4
    time.sleep(1.6)
    assert caller.unary() and connects() == 4, "nothing closes idle connections any more"
