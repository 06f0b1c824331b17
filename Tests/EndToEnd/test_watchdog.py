"""A worker that hangs in one turn of its loop is seen from outside."""
import concurrent.futures
import signal
import time

import grpc
import pytest

from harness.client import Client
from harness.hang import LINE, POLICY, Hang
from harness.settings import configuration, route
from harness.waiting import eventually

pytestmark = pytest.mark.figures
HANGS = "a worker hangs: it gets no new connections"


@pytest.fixture
def hang(tmp_path, monkeypatch):
    made = Hang(tmp_path)
    monkeypatch.setenv("LD_PRELOAD", str(made.library))
    yield made
    made.release()


@pytest.fixture
def later():
    """Runs calls at the side: `later(call, ...)` gives a future."""
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        yield pool.submit


@pytest.fixture
def proxied(moongate, backend, hang):
    def start(workers=2, **options):
        settings = configuration(
            backend.address, workers=workers, routes=[route(policies=[{"policy": "policies/slow.lua"}])],
            watchdog={"stall": "1s"} | options, drain={"delay": "0s", "grace": "30s"})
        return moongate(settings, policies={"slow.lua": POLICY})

    return start


def stuck(caller, order):
    """A call on a connection of its own that makes its worker hang; it ends when the worker goes on. Returns how."""
    try:
        return caller.hello(timeout=30, metadata=order) and grpc.StatusCode.OK
    except grpc.RpcError as error:
        return error.code()


@pytest.mark.parametrize("kind, state", [("run", "running"), ("wait", "blocked")])
def test_a_worker_that_hangs_is_named_and_passed_over(proxied, hang, client, later, kind, state):
    proxy = proxied(live="3s")
    call = later(stuck, client(proxy.address), hang.order(kind))
    eventually(lambda: proxy.metric("moongate_policy_runs_total") == 1, what="the hook")
    # Some of these wait for the worker that hangs: they go to the other one.
    others = [later(client(proxy.address).hello, timeout=20) for _ in range(6)]
    entry, = proxy.wait_entries(HANGS)
    assert entry["state"] == state and int(entry["stuck_ms"]) >= 1000 and entry["worker"] in "01"
    if kind == "run":
        assert entry["policy"] == "slow" and entry["line"] == str(LINE) and entry["file"].endswith("slow.lua")
    assert all(other.result(10) for other in others)
    assert proxy.metric("moongate_worker_stalled", worker=entry["worker"]) == 1
    assert proxy.metric("moongate_worker_stalled") == 1 and proxy.metric("moongate_worker_stalls_total") == 1
    for _ in range(4):
        with Client(proxy.address) as fresh:
            assert fresh.hello(timeout=3)
    assert proxy.get("/ready")[0] == 200 and proxy.get("/live")[0] == 200
    eventually(lambda: proxy.get("/live") == (503, "stalled\n"), 8, what="/live fails")
    assert proxy.get("/ready")[0] == 200, "the other one works"
    hang.release()
    # A script that has used that much CPU time is ended.
    assert call.result(10) is (grpc.StatusCode.INTERNAL if kind == "run" else grpc.StatusCode.OK)
    proxy.wait_entries("a worker goes on")
    eventually(lambda: proxy.get("/live")[0] == 200, 3)
    assert proxy.metric("moongate_worker_stalled") == 0 and len(proxy.wait_entries(HANGS)) == 1


def test_ready_fails_when_all_hang_and_the_second_signal_ends_the_process(proxied, hang, client, later):
    proxy = proxied()
    for number in (1, 2):
        later(stuck, client(proxy.address), hang.order("wait"))
        eventually(lambda: proxy.metric("moongate_policy_runs_total") == number, what="the hook")
    proxy.wait_entries(HANGS, 2)
    eventually(lambda: proxy.get("/ready") == (503, "stalled\n"), 3, what="/ready fails")
    assert proxy.get("/live")[0] == 200, "it is not ten seconds yet"
    proxy.signal(signal.SIGTERM)
    proxy.wait_entries("draining: no new connections, streams may finish")
    assert proxy.running()
    began = time.monotonic()
    proxy.signal(signal.SIGTERM)
    assert proxy.child.wait(5) == 0
    assert time.monotonic() - began < 1
    entry, = proxy.wait_entries("threads do not end: leaving without them")
    assert entry["threads"] == "worker-0, worker-1"


def test_a_drain_ends_although_a_worker_hangs(moongate, backend, hang, client, later):
    proxy = moongate(
        configuration(
            backend.address, workers=1, routes=[route(policies=[{"policy": "policies/slow.lua"}])],
            drain={"delay": "0s", "grace": "0s"}), policies={"slow.lua": POLICY})
    later(stuck, client(proxy.address), hang.order("wait"))
    eventually(lambda: proxy.metric("moongate_policy_runs_total") == 1, what="the hook")
    proxy.signal(signal.SIGTERM)
    assert proxy.wait(8) == 0
    proxy.wait_entries("threads do not end: leaving without them")


def test_a_reload_names_the_workers_that_have_not_taken_it(proxied, hang, client, later):
    proxy = proxied()
    later(stuck, client(proxy.address), hang.order("wait"))
    eventually(lambda: proxy.metric("moongate_policy_runs_total") == 1, what="the hook")
    hung, = proxy.wait_entries(HANGS)
    began = time.monotonic()
    proxy.configure(proxy.configuration | {"reload": {"max_generations": 3}})
    proxy.reload()
    assert time.monotonic() - began < 4, "the reload waits for nobody"
    entry, = proxy.wait_entries("workers have not taken the new generation", timeout=9)
    assert entry["workers"] == f"worker-{hung['worker']}" and entry["generation"] == "2"
    hang.release()
    late, = proxy.wait_entries("a worker has taken the generation late")
    assert late["worker"] == hung["worker"]


def test_abort_ends_the_process_where_it_is_wanted(proxied, hang, client, later):
    proxy = proxied(abort="2s")
    later(stuck, client(proxy.address), hang.order("run"))
    proxy.killed = True
    assert proxy.wait(10) == -signal.SIGABRT
    proxy.wait_entries("a worker hangs: aborting")


def test_a_process_that_was_stopped_has_no_worker_that_hangs(proxied, client):
    proxy = proxied()
    caller = client(proxy.address)
    caller.hello()
    proxy.signal(signal.SIGSTOP)
    time.sleep(2.5)
    proxy.signal(signal.SIGCONT)
    assert caller.hello() and not [entry for entry in proxy.log_entries() if entry["message"] == HANGS]
