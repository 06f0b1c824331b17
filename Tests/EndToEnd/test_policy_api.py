"""What policies can do to real calls: headers, replies, metadata, context, routing."""
import collections

import grpc
import pytest

from harness.client import seen_metadata
from harness.frame_client import request
from harness.frame_upstream import answer_ok
from harness.settings import configuration, route
from harness.stubs import Order


@pytest.fixture
def guarded(moongate, backend, client):
    """Starts a proxy with one route whose only policy has this text; gives the proxy and a grpcio client."""
    def start(text, settings=None, **reference):
        policy = {"policy": "policies/test.lua", **reference, **({"settings": settings} if settings else {})}
        proxy = moongate(configuration(backend.address, routes=[route(policies=[policy])]), policies={"test.lua": text})
        return proxy, client(proxy.address, authority="test.example:8443")

    return start


@pytest.mark.parametrize("hook", ["on_request", "envoy_on_request"])
def test_headers_are_read_added_replaced_and_removed(guarded, hook):
    _, caller = guarded(f"""
        function {hook}(handle)
          local headers = handle:headers()
          headers:add("x-many", "two")
          headers:replace("x-replaced", headers:get("x-replaced") .. "-new")
          headers:remove("x-removed")
          headers:add("x-path", headers:get(":path"))
          headers:add("x-count", headers:getNumValues("x-many"))
          headers:add("x-second", headers:getAtIndex("x-many", 1))
        end""")
    report = caller.unary(metadata=[("x-many", "one"), ("x-replaced", "old"), ("x-removed", "gone"), ("x-kept", "k")])
    seen = seen_metadata(report)
    assert seen["x-many"] == [b"one", b"two"]
    assert seen["x-replaced"] == [b"old-new"]
    assert "x-removed" not in seen
    assert seen["x-kept"] == [b"k"]
    assert seen["x-path"] == [b"/moongate.test.Probe/Unary"]
    assert seen["x-count"] == [b"2"] and seen["x-second"] == [b"two"]


def test_pairs_shows_pseudo_headers_first_and_then_the_order_of_arrival(guarded):
    _, caller = guarded("""
        function on_request(handle)
          local names = {}
          for name in pairs(handle:headers()) do names[#names + 1] = name end
          handle:headers():add("x-names", table.concat(names, " "))
        end""")
    names = seen_metadata(caller.unary(metadata=[("x-b", "1"), ("x-a", "1")]))["x-names"][0].decode().split()
    assert sorted(names[:4]) == [":authority", ":method", ":path", ":scheme"]
    assert names.index("x-b") < names.index("x-a")


@pytest.mark.parametrize("hook", ["on_response", "envoy_on_response"])
def test_response_headers_are_changed(guarded, hook):
    _, caller = guarded(f"""
        function {hook}(handle)
          handle:headers():add("x-from-policy", handle:headers():get(":status"))
        end""")
    _, call = caller.probe.Unary.with_call(Order(), timeout=10)
    assert ("x-from-policy", "200") in call.initial_metadata()


def test_policies_run_in_order_on_requests_and_in_reverse_on_responses(moongate, backend, client):
    texts = {f"{name}.lua": f"""
        function on_request(handle) handle:headers():add("x-order", "{name}") end
        function on_response(handle) handle:headers():add("x-order", "{name}") end""" for name in "abc"}
    references = [{"policy": f"policies/{name}.lua"} for name in "abc"]
    proxy = moongate(configuration(backend.address, routes=[route(policies=references)]), policies=texts)
    report, call = client(proxy.address).probe.Unary.with_call(Order(), timeout=10)
    assert seen_metadata(report)["x-order"] == [b"a", b"b", b"c"]
    assert [value for name, value in call.initial_metadata() if name == "x-order"] == ["c", "b", "a"]


@pytest.mark.parametrize("status, code", [
    (400, 13), (401, 16), (403, 7), (404, 12), (429, 14), (500, 2), (502, 14), (503, 14), (504, 14), (413, 2),
])
def test_respond_becomes_the_grpc_status_of_its_http_status(guarded, status, code):
    _, caller = guarded(f"""
        function on_request(handle)
          handle:respond({{[":status"] = "{status}", ["x-why"] = "because"}}, "not today: caf\u00e9 & 100%")
        end""")
    error = caller.refused()
    assert error.code().value[0] == code
    assert error.details() == "not today: caf\u00e9 & 100%"
    assert ("x-why", "because") in list(error.initial_metadata()) + list(error.trailing_metadata())


def test_respond_keeps_a_grpc_status_given_with_200(guarded):
    _, caller = guarded("""
        function on_request(handle)
          handle:respond({[":status"] = "200", ["grpc-status"] = "10", ["grpc-message"] = "own words"})
        end""")
    error = caller.refused()
    assert error.code() is grpc.StatusCode.ABORTED and error.details() == "own words"


def test_S5_respond_is_one_trailers_only_frame_and_never_reaches_the_upstream(moongate, upstream, connect):
    server = upstream()
    proxy = moongate(
        configuration(server.address, routes=[route(policies=[{"policy": "policies/no.lua"}])]),
        policies={"no.lua": 'function on_request(h) h:respond({[":status"] = "403"}, "no") end'})
    client = connect(proxy.address)
    frames = client.call(request(content_type="application/grpc+proto"))
    assert [frame.type for frame in frames] == ["Headers"]
    assert frames[0].get(":status") == "200" and frames[0].get("grpc-status") == "7"
    assert frames[0].get("content-type") == "application/grpc+proto"
    assert not server.heads()


def test_respond_to_a_request_that_is_not_grpc_is_plain_http(moongate, upstream, connect):
    proxy = moongate(
        configuration(upstream().address, routes=[route(policies=[{"policy": "policies/no.lua"}])]),
        policies={"no.lua": 'function on_request(h) h:respond({[":status"] = "403", ["x-a"] = "1"}, "no") end'})
    client = connect(proxy.address)
    frames = client.call(request(method="GET", content_type=""))
    assert frames[0].get(":status") == "403" and frames[0].get("x-a") == "1"
    assert b"".join(frame.data for frame in frames) == b"no"


def test_respond_ends_the_script_even_inside_pcall(guarded):
    _, caller = guarded("""
        function on_request(handle)
          pcall(function() handle:respond({[":status"] = "403"}, "first") end)
          handle:respond({[":status"] = "401"}, "second")
        end""")
    assert caller.refused().details() == "first"


def test_respond_stops_later_request_hooks_and_runs_response_hooks_of_earlier_ones(moongate, backend, client):
    texts = {
        "first.lua": 'function on_response(h) h:headers():add("x-seen", h:headers():get("grpc-status")) end',
        "second.lua": 'function on_request(h) h:respond({[":status"] = "403"}, "no") end',
        "third.lua": "function on_request(h) error('must not run') end",
    }
    references = [{"policy": f"policies/{name}"} for name in texts]
    proxy = moongate(configuration(backend.address, routes=[route(policies=references)]), policies=texts)
    error = client(proxy.address).refused()
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    assert ("x-seen", "7") in list(error.initial_metadata()) + list(error.trailing_metadata())


def test_context_goes_from_the_request_to_the_response_hook(guarded):
    _, caller = guarded("""
        function on_request(handle)
          handle:ctx().user = "ada"
          handle:streamInfo():dynamicMetadata():set("test", "key", {1, 2, 3})
        end
        function on_response(handle)
          handle:headers():add("x-user", handle:ctx().user)
          handle:headers():add("x-list", #handle:streamInfo():dynamicMetadata():get("test").key)
        end""")
    _, call = caller.probe.Unary.with_call(Order(), timeout=10)
    metadata = dict(call.initial_metadata())
    assert metadata["x-user"] == "ada" and metadata["x-list"] == "3"


def test_settings_are_per_instance_and_not_shared_between_routes(moongate, backend, client):
    text = 'function on_request(handle) handle:headers():add("x-setting", handle:config().word) end'
    routes = [
        {"name": name, "match": match, "upstream": "main",
         "policies": [{"policy": "policies/word.lua", "settings": {"word": name}}]}
        for name, match in (("one", {"method": "Unary"}), ("two", {"method": "UnaryTwo"}))]
    proxy = moongate(configuration(backend.address, routes=routes), policies={"word.lua": text})
    caller = client(proxy.address)
    for _ in range(3):
        assert seen_metadata(caller.unary())["x-setting"] == [b"one"]
        assert seen_metadata(caller.probe.UnaryTwo(Order(), timeout=5))["x-setting"] == [b"two"]


def test_stream_info_tells_addresses_and_route(guarded):
    proxy, caller = guarded("""
        function on_request(handle)
          local info = handle:streamInfo()
          handle:headers():add("x-route", info:routeName())
          handle:headers():add("x-local", info:downstreamLocalAddress())
          handle:headers():add("x-remote", info:downstreamDirectRemoteAddress())
          handle:headers():add("x-protocol", info:protocol())
        end""")
    seen = seen_metadata(caller.unary())
    assert seen["x-route"] == [b"all"]
    assert seen["x-local"] == [proxy.address.encode()]
    assert seen["x-remote"][0].startswith(b"127.0.0.1:")
    assert seen["x-protocol"] == [b"HTTP/2"]


def test_set_upstream_leads_elsewhere(moongate, backends, client):
    one, two = backends("one", "two")
    text = 'function on_request(h) if h:headers():get("x-two") then h:setUpstream("two") end end'
    proxy = moongate(
        configuration(upstreams={"one": [one.address], "two": [two.address]},
                      routes=[route("one", policies=[{"policy": "policies/p.lua"}])]),
        policies={"p.lua": text})
    caller = client(proxy.address)
    assert caller.unary().backend == "one"
    assert caller.unary(metadata=[("x-two", "1")]).backend == "two"


def test_listener_policies_run_before_routing_and_on_unmatched_requests(moongate, backend, client):
    text = """
        function on_request(handle)
          local headers = handle:headers()
          if headers:get(":path") == "/moongate.test.Probe/UnaryTwo" then
            headers:replace(":path", "/moongate.test.Probe/Unary")
          elseif not headers:get("x-let-me") then
            handle:respond({[":status"] = "401"}, "listener says no")
          end
        end"""
    listeners = [{"name": "main", "address": "127.0.0.1:0", "policies": [{"policy": "policies/l.lua"}]}]
    routes = [{"name": "only", "match": {"method": "Unary"}, "upstream": "main"}]
    proxy = moongate(configuration(backend.address, listeners=listeners, routes=routes), policies={"l.lua": text})
    caller = client(proxy.address)
    assert caller.probe.UnaryTwo(Order(), timeout=5).method == "Unary"
    unmatched = caller.channel.unary_unary("/no.Service/Method")
    with pytest.raises(grpc.RpcError) as failure:
        unmatched(b"", timeout=5)
    assert failure.value.details() == "listener says no"
    with pytest.raises(grpc.RpcError) as failure:
        unmatched(b"", timeout=5, metadata=[("x-let-me", "in")])
    assert failure.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_rewritten_path_does_not_slip_past_the_target_routes_policies(moongate, backend, client):
    texts = {
        "rewrite.lua": """
            function on_request(handle)
              handle:headers():replace(":path", "/moongate.test.Probe/UnaryTwo")
              handle:headers():add("x-ran", "rewrite")
              handle:clearRouteCache()
            end""",
        "guard.lua": """
            function on_request(handle)
              handle:headers():add("x-ran", "guard")
              if not handle:headers():get("x-secret") then handle:respond({[":status"] = "401"}, "guarded") end
            end""",
    }
    routes = [
        {"name": "open", "match": {"method": "Unary"}, "upstream": "main",
         "policies": [{"policy": "policies/rewrite.lua"}]},
        {"name": "closed", "match": {"method": "UnaryTwo"}, "upstream": "main",
         "policies": [{"policy": "policies/guard.lua"}]}]
    proxy = moongate(configuration(backend.address, routes=routes), policies=texts)
    caller = client(proxy.address)
    error = caller.refused()
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED and error.details() == "guarded"
    report = caller.unary(metadata=[("x-secret", "s")])
    assert report.method == "UnaryTwo"
    assert seen_metadata(report)["x-ran"] == [b"rewrite", b"guard"]


@pytest.mark.parametrize("written, match", [
    ('headers:replace(":authority", "closed.example:1")', {"hosts": ["closed.example"]}),
    ('headers:set("Host", "a.closed.example")', {"hosts": ["*.closed.example"]}),
    ('headers:add("x-tenant", "b")', {"headers": [{"name": "x-tenant", "exact": "b"}]}),
    ('headers:remove("te")', {"headers": [{"name": "te", "absent": True}]}),
    ('headers:replace("content-type", "application/grpc+x")',
     {"headers": [{"name": "content-type", "exact": "application/grpc+x"}]}),
])
def test_whatever_routes_look_at_leads_to_the_target_routes_policies(moongate, backend, client, written, match):
    texts = {
        "write.lua": f"function on_request(handle) local headers = handle:headers() {written} end",
        "guard.lua": 'function on_request(handle) handle:respond({[":status"] = "401"}, "guarded") end',
    }
    routes = [
        {"name": "closed", "match": match, "upstream": "main", "policies": [{"policy": "policies/guard.lua"}]},
        {"name": "open", "upstream": "main", "policies": [{"policy": "policies/write.lua"}]}]
    proxy = moongate(configuration(backend.address, routes=routes), policies=texts)
    error = client(proxy.address).refused()
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED and error.details() == "guarded"


def test_routes_that_rewrite_to_each_other_end_in_internal(moongate, backend, client):
    texts = {f"{name}.lua": f"""
        function on_request(handle)
          handle:headers():replace(":path", "/moongate.test.Probe/{target}")
          handle:clearRouteCache()
        end""" for name, target in (("a", "B"), ("b", "C"), ("c", "D"), ("d", "A"))}
    routes = [{"name": name, "match": {"path": f"/moongate.test.Probe/{name.upper()}"}, "upstream": "main",
               "policies": [{"policy": f"policies/{name}.lua"}]} for name in "abcd"]
    proxy = moongate(configuration(backend.address, routes=routes), policies=texts)
    call = client(proxy.address).channel.unary_unary("/moongate.test.Probe/A")
    with pytest.raises(grpc.RpcError) as failure:
        call(b"", timeout=5)
    assert failure.value.code() is grpc.StatusCode.INTERNAL


def test_emissary_port_strip_script_runs_unchanged(moongate, upstream, connect):
    text = """
        function envoy_on_request(request_handle)
          local authority = request_handle:headers():get(":authority")
          if(string.find(authority, ":") ~= nil)
          then
            local authority_index = string.find(authority, ":")
            local stripped_authority = string.sub(authority, 1, authority_index - 1)
            request_handle:headers():replace(":authority", stripped_authority)
          end
        end"""
    proxy = moongate(
        configuration(upstream(answer_ok).address, routes=[route(policies=[{"policy": "policies/strip.lua"}])]),
        policies={"strip.lua": text})
    client = connect(proxy.address)
    assert client.call(request(authority="test.example:50051"))[0].get("x-seen-authority") == "test.example"
    assert client.call(request(authority="test.example"))[0].get("x-seen-authority") == "test.example"


def test_globals_persist_within_a_worker_and_files_do_not_share_them(moongate, backend, client):
    texts = {
        "count.lua": 'n = 0\nfunction on_request(h) n = n + 1 h:headers():add("x-n", n) end',
        "other.lua": 'function on_request(h) h:headers():add("x-other", tostring(n)) end',
    }
    references = [{"policy": f"policies/{name}"} for name in texts]
    proxy = moongate(configuration(backend.address, routes=[route(policies=references)]), policies=texts)
    caller = client(proxy.address)
    seen = [seen_metadata(caller.unary()) for _ in range(3)]
    assert [entry["x-n"] for entry in seen] == [[b"1"], [b"2"], [b"3"]]
    assert {entry["x-other"][0] for entry in seen} == {b"nil"}


def test_log_calls_go_to_the_log(guarded):
    proxy, caller = guarded("""
        function on_request(handle)
          handle:logInfo("info from a script")
          handle:logWarn("warning from a script")
          handle:logErr("error from a script")
        end""")
    caller.unary()
    proxy.wait_for_line("warning from a script", 3)
    proxy.wait_for_line("error from a script", 3)


def test_policies_see_every_kind_of_call(guarded):
    _, caller = guarded("""
        function on_request(handle) handle:headers():add("x-in", "1") end
        function on_response(handle) handle:headers():add("x-out", "1") end""")
    for _ in range(3):
        call = caller.probe.Bidi(iter([Order(), Order(finish=True)]), timeout=10)
        reports = list(call)
        assert len(reports) == 2 and seen_metadata(reports[0])["x-in"] == [b"1"]
        assert ("x-out", "1") in call.initial_metadata()


def test_policy_runs_are_counted(guarded):
    proxy, caller = guarded("function on_request(h) end function on_response(h) end")
    for _ in range(4):
        caller.unary()
    runs = collections.Counter()
    for sample in proxy.samples():
        if sample.name == "moongate_policy_runs_total":
            runs[sample.labels["hook"]] += sample.value
    assert runs == {
        "on_request": 4, "on_response": 4, "on_grpc_message": 0, "timer": 0, "on_log": 0, "on_close": 0}
