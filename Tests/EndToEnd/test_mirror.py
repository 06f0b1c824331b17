"""Mirrors: copies of requests that never disturb the originals (F7)."""
from harness.client import OpenMessages, seen_metadata
from harness.frame_upstream import RESPONSE
from harness.ports import unused_port
from harness.settings import configuration, route
from harness.stubs import Order
from harness.waiting import eventually


def mirrored(main, *mirrors, **more):
    """A configuration whose route copies to mirrors: (address, settings of the mirror)."""
    upstreams = {f"mirror-{number}": [address] for number, (address, _) in enumerate(mirrors)}
    settings = [{"upstream": f"mirror-{number}", **options} for number, (_, options) in enumerate(mirrors)]
    return configuration(main, upstreams=upstreams, routes=[route(mirror=settings, **more)])


def test_F7_every_request_is_copied_and_the_answer_is_the_primarys(moongate, backends, client):
    main, one, two = backends("main", "one", "two")
    proxy = moongate(mirrored(main.address, (one.address, {}), (two.address, {"percent": 100})))
    caller = client(proxy.address, authority="mirror.example")
    for number in range(10):
        report = caller.unary(Order(payload=b"x" * 1000), metadata=[("x-number", str(number))])
        assert report.backend == "main" and report.received_bytes == 1000
    for mirror in (one, two):
        eventually(lambda: mirror.count() == 10 and all(call.orders == 1 for call in mirror.calls), 10)
        assert sorted(call.values("x-number")[0] for call in mirror.calls) == [str(number) for number in range(10)]
        assert all(call.bytes == 1000 for call in mirror.calls)
    assert main.count() == 10
    for name in ("mirror-0", "mirror-1"):
        assert proxy.metric("moongate_mirror_requests_total", route="all", upstream=name) == 10
        eventually(lambda: proxy.metric(
            "moongate_mirror_responses_total", route="all", upstream=name, grpc_status="0") == 10, 5)
    assert proxy.metric("moongate_mirror_dropped_total") == 0


def test_percent_is_the_share_of_requests(moongate, backends, client):
    main, none, some = backends("main", "none", "some")
    proxy = moongate(mirrored(main.address, (none.address, {"percent": 0}), (some.address, {"percent": 37.5})))
    caller = client(proxy.address)
    for _ in range(400):
        caller.unary()
    count = proxy.metric("moongate_mirror_requests_total", upstream="mirror-1")
    assert 110 <= count <= 190, count
    eventually(lambda: some.count() == count, 10)
    assert none.count() == 0


def test_streams_are_copied_as_they_flow(moongate, backends, client):
    main, mirror = backends("main", "mirror")
    proxy = moongate(mirrored(main.address, (mirror.address, {})))
    messages = OpenMessages()
    call = client(proxy.address).probe.Bidi(iter(messages), timeout=30)
    for number in range(1, 6):
        messages.put(Order(payload=bytes(5000)))
        assert next(call).backend == "main"
        eventually(lambda: mirror.count() == 1 and mirror.last().orders == number, 10)
    messages.close()
    assert list(call) == []
    eventually(lambda: mirror.last().done.is_set(), 10, what="the end is copied")
    assert mirror.last().bytes == 25000


def test_large_bodies_that_are_passed_on_are_copied(moongate, backends, client):
    main, mirror = backends("main", "mirror")
    proxy = moongate(mirrored(main.address, (mirror.address, {"buffer": "16MiB"})))
    call = client(proxy.address).probe.ClientStream(
        (Order(payload=bytes(200_000)) for _ in range(20)), timeout=60)
    assert call.received_bytes == 4_000_000
    eventually(lambda: mirror.count() == 1 and mirror.last().bytes == 4_000_000, 20)


def test_F7_a_mirror_that_reads_nothing_slows_nobody_and_is_dropped(moongate, backends, client, upstream):
    [main] = backends("main")
    deaf = upstream(refill=False)
    proxy = moongate(mirrored(main.address, (deaf.address, {"buffer": "64KiB"})))
    call = client(proxy.address).probe.ClientStream(
        (Order(payload=bytes(200_000)) for _ in range(20)), timeout=60)
    assert call.backend == "main" and call.received_bytes == 4_000_000
    assert proxy.metric("moongate_mirror_dropped_total", upstream="mirror-0", reason="buffer") == 1


def test_a_slow_mirror_does_not_delay_the_answer(moongate, backends, client, upstream):
    [main] = backends("main")
    silent = upstream(lambda connection, head: None)
    proxy = moongate(mirrored(main.address, (silent.address, {})))
    caller = client(proxy.address)
    for _ in range(20):
        assert caller.unary(timeout=5).backend == "main"
    assert proxy.metric("moongate_mirror_requests_total") == 20


def test_a_mirror_that_is_down_is_counted_and_nothing_else(moongate, backends, client):
    [main] = backends("main")
    proxy = moongate(mirrored(main.address, (f"127.0.0.1:{unused_port()}", {})))
    caller = client(proxy.address)
    for _ in range(10):
        assert caller.unary().backend == "main"
    eventually(lambda: proxy.metric("moongate_mirror_dropped_total", reason="unavailable") == 10, 10)


def test_errors_of_the_mirror_are_counted_by_status(moongate, backends, client, upstream):
    [main] = backends("main")

    def refuse(connection, head):
        connection.send(*connection.headers_frames(head.stream, RESPONSE + [("grpc-status", "7")], end_stream=True))

    mirror = upstream(refuse)
    proxy = moongate(mirrored(main.address, (mirror.address, {})))
    assert client(proxy.address).unary().backend == "main"
    eventually(lambda: proxy.metric("moongate_mirror_responses_total", grpc_status="7") == 1, 10)


def test_the_copy_is_what_policies_made_of_the_request(moongate, backends, client):
    main, mirror = backends("main", "mirror")
    policy = 'function on_request(h) h:headers():replace("x-by", "policy") h:headers():remove("x-secret") end'
    proxy = moongate(mirrored(
        main.address, (mirror.address, {}), policies=[{"name": "change", "lua": policy}]))
    report = client(proxy.address).unary(metadata=[("x-by", "client"), ("x-secret", "1")])
    assert seen_metadata(report)["x-by"] == [b"policy"]
    eventually(lambda: mirror.count() == 1, 10)
    assert mirror.last().values("x-by") == ["policy"] and mirror.last().values("x-secret") == []


def test_retries_are_not_copied(moongate, backends, client, upstream):
    [mirror] = backends("mirror")
    tries = []

    def flaky(connection, head):
        tries.append(head.stream)
        status = "14" if len(tries) < 3 else "0"
        connection.send(*connection.headers_frames(head.stream, RESPONSE + [("grpc-status", status)], end_stream=True))

    main = upstream(flaky)
    proxy = moongate(mirrored(
        main.address, (mirror.address, {}), retry={"on": ["unavailable"], "max_attempts": 5, "backoff": {"initial": "10ms"}}))
    caller = client(proxy.address)
    list(caller.probe.ServerStream(Order(payload=bytes(3000)), timeout=10))
    assert len(tries) == 3
    eventually(lambda: mirror.count() == 1 and mirror.last().done.is_set(), 10)
    assert proxy.metric("moongate_mirror_requests_total") == 1


def test_a_client_that_goes_away_takes_an_unfinished_copy_with_it(moongate, backends, client):
    main, mirror = backends("main", "mirror")
    proxy = moongate(mirrored(main.address, (mirror.address, {})))
    messages = OpenMessages(Order())
    call = client(proxy.address).probe.Bidi(iter(messages), timeout=30)
    next(call)
    eventually(lambda: mirror.count() == 1, 10)
    call.cancel()
    eventually(lambda: mirror.last().done.is_set(), 10)
    eventually(lambda: proxy.metric("moongate_mirror_dropped_total", reason="incomplete") == 1, 10)


def test_a_reload_with_mirrors_disturbs_no_copy(moongate, backends, client):
    main, mirror = backends("main", "mirror")
    proxy = moongate(mirrored(main.address, (mirror.address, {})))
    messages = OpenMessages(Order())
    call = client(proxy.address).probe.Bidi(iter(messages), timeout=30)
    next(call)
    eventually(lambda: mirror.count() == 1, 10)
    proxy.configure(configuration(main.address))
    proxy.wait_generation(2)
    messages.put(Order())
    next(call)
    messages.close()
    assert list(call) == []
    eventually(lambda: mirror.last().done.is_set() and mirror.last().orders == 2, 10)
