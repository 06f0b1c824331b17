"""The access log: its fields, rotation, and a reader that does not read."""
import json
import os
import signal
import time

from harness.frame_client import request
from harness.frame_upstream import answer_ok
from harness.settings import configuration
from harness.stubs import Order
from harness.waiting import eventually


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def start(moongate, backend, **more):
    proxy = moongate(configuration(backend.address, access_log={"path": "access.log"}, **more))
    return proxy, proxy.folder / "access.log"


def test_S10_each_request_is_one_line_with_its_facts(moongate, backend, client):
    proxy, log = start(moongate, backend)
    caller = client(proxy.address, authority="log.example:123")
    caller.unary(Order(payload=b"x" * 1000, answer_bytes=2000, delay_ms=120))
    [entry] = eventually(lambda: lines(log))
    assert entry["grpc_status"] == 0 and entry["http_status"] == 200
    assert entry["route"] == "all" and entry["upstream"] == "main" and entry["listener"] == "main"
    assert entry["endpoint"] == backend.address
    assert entry["path"] == "/moongate.test.Probe/Unary" and entry["method"] == "POST"
    assert entry["authority"] == "log.example:123"
    assert 115 <= entry["duration_ms"] < 1000
    assert 1000 <= entry["bytes_in"] < 1100 and 2000 <= entry["bytes_out"] < 2300
    assert entry["messages_in"] == 1 and entry["messages_out"] == 1
    assert entry["generation"] >= 1
    assert entry["remote"].startswith("127.0.0.1:")
    assert entry["request_id"] and entry["time"]


def test_S10_status_comes_from_trailers_headers_or_the_end(moongate, backend, client):
    proxy, log = start(moongate, backend)
    caller = client(proxy.address)
    list(caller.probe.ServerStream(Order(count=3), timeout=10))
    caller.refused(Order(code=9))
    call = caller.probe.ServerStream(Order(count=1000, delay_ms=50), timeout=30)
    next(call)
    call.cancel()
    caller.refused(Order(delay_ms=3000), timeout=0.2)
    entries = eventually(lambda: len(lines(log)) == 4 and lines(log))
    assert [entry["grpc_status"] for entry in entries][:3] == [0, 9, 1]
    assert entries[0]["messages_out"] == 3
    assert entries[3]["grpc_status"] in (1, 4)
    assert entries[2].get("termination")


def test_generation_of_the_request_is_logged(moongate, backend, client):
    proxy, log = start(moongate, backend)
    caller = client(proxy.address)
    caller.hello()
    proxy.configure({**proxy.configuration, "drain": {"delay": "1s", "grace": "5s"}})
    proxy.reload()
    caller.hello()
    entries = eventually(lambda: len(lines(log)) == 2 and lines(log))
    assert entries[1]["generation"] > entries[0]["generation"]


def test_requests_without_a_route_are_logged(moongate, client):
    proxy = moongate(configuration(routes=[], upstreams={}, access_log={"path": "access.log"}))
    client(proxy.address).refused()
    [entry] = eventually(lambda: lines(proxy.folder / "access.log"))
    assert entry["grpc_status"] == 12 and not entry.get("upstream")


def test_paths_and_hosts_cannot_break_a_line(moongate, upstream, connect):
    proxy = moongate(configuration(upstream(answer_ok).address, access_log={"path": "access.log"}))
    connect(proxy.address).call(request(path='/quote"back\\slash/%0a'))        # refused, and logged as it was sent
    [entry] = eventually(lambda: lines(proxy.folder / "access.log"))
    assert entry["path"] == '/quote"back\\slash/%0a'


def test_sighup_reopens_the_file(moongate, backend, client):
    proxy, log = start(moongate, backend)
    caller = client(proxy.address)
    caller.hello()
    eventually(lambda: len(lines(log)) == 1)
    os.rename(log, log.with_suffix(".1"))
    proxy.signal(signal.SIGHUP)
    eventually(log.exists, 5, what="a new log file")
    caller.hello()
    eventually(lambda: len(lines(log)) == 1)
    assert len(lines(log.with_suffix(".1"))) == 1


def test_standard_output_is_a_destination(moongate, backend, client):
    proxy = moongate(configuration(backend.address, access_log={"path": "-"}))
    client(proxy.address).hello()
    line = proxy.wait_for_line('"grpc_status"')
    assert json.loads(line)["path"] == "/helloworld.Greeter/SayHello"


def test_pipe_that_nobody_reads_stops_no_request_and_drops_are_counted(moongate, backend, client):
    read_end, write_end = os.pipe()
    try:
        proxy = moongate(configuration(backend.address, access_log={"path": "-"}), stdout=write_end)
        os.close(write_end)
        caller = client(proxy.address)
        long = [("x-pad", "y" * 100)]
        began = time.monotonic()
        for _ in range(60):
            calls = [caller.probe.Unary.future(Order(), metadata=long, timeout=20) for _ in range(100)]
            for call in calls:
                call.result()
        took = time.monotonic() - began
        assert took < 40
        # 6,000 lines of some 400 bytes: more than the pipe's 64 KiB and the worker's queue of 1 MiB.
        eventually(lambda: proxy.metric("moongate_access_log_dropped_total", reason="queue_full") > 0, 5)
        assert proxy.get("/ready")[0] == 200
    finally:
        os.close(read_end)
