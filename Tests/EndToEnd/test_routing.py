"""Which requests go where: matches, precedence and the answer when nothing fits."""
import pytest

from harness.frame_client import request
from harness.frame_upstream import answer_ok
from harness.settings import configuration

PROBE = "moongate.test.Probe"


@pytest.fixture
def routed(moongate, upstream, connect):
    """Starts a proxy whose routes (name: match, or a list of matches) each lead to an upstream that tells its name.

    Gives a function: request fields in, name of the route's upstream out ("404" or "12" when there is no route).
    """
    def start(matches, listeners=None):
        routes, upstreams = [], {}
        for name, match in matches.items():
            made = {"name": name, "upstream": name}
            if isinstance(match, list):
                made["matches"] = match
            else:
                fields = dict(match)
                if "listeners" in fields:
                    made["listeners"] = fields.pop("listeners")
                if fields:
                    made["match"] = fields
            routes.append(made)
            upstreams[name] = [upstream(_named(name)).address]
        proxy = moongate(configuration(routes=routes, upstreams=upstreams, listeners=listeners))
        clients = {name: connect(address) for name, address in proxy.bound.items()}

        def ask(path=f"/{PROBE}/Unary", host="test.example", headers=(), listener=None, **more):
            name = listener or next(iter(clients))
            frames = clients[name].call(request(path=path, authority=host, extra=headers, **more))
            head = frames[0]
            return head.get("x-upstream") or head.get("grpc-status") or head.get(":status")

        return ask

    return start


def _named(name):
    def answer(connection, head):
        if not head.ends_stream:
            connection.wait_end(head.stream)
        connection.respond(head.stream, headers=[("x-upstream", name)])
    return answer


def test_S7_no_route_is_unimplemented_in_one_trailers_only_frame(moongate, connect):
    proxy = moongate(configuration(routes=[], upstreams={}))
    frames = connect(proxy.address).call()
    assert [frame.type for frame in frames] == ["Headers"]
    assert frames[0].get(":status") == "200"
    assert frames[0].get("content-type") == "application/grpc"
    assert frames[0].get("grpc-status") == "12"
    assert frames[0].get("grpc-message")


@pytest.mark.parametrize("content_type", ["text/plain", "application/json", "application/grpcx", ""])
def test_R2_no_route_is_404_for_requests_that_are_not_grpc(moongate, connect, content_type):
    proxy = moongate(configuration(routes=[], upstreams={}))
    frames = connect(proxy.address).call(request(content_type=content_type))
    assert frames[0].get(":status") == "404"
    assert frames[0].get("grpc-status") is None


@pytest.mark.parametrize("content_type", ["application/grpc", "application/grpc+proto", "application/grpc;charset=x"])
def test_R2_content_types_that_are_grpc(moongate, connect, content_type):
    proxy = moongate(configuration(routes=[], upstreams={}))
    assert connect(proxy.address).call(request(content_type=content_type))[0].get("grpc-status") == "12"


def test_no_route_is_unimplemented_for_grpcio(moongate, client):
    proxy = moongate(configuration(routes=[], upstreams={}))
    assert client(proxy.address).refused().code().value[0] == 12


def test_G1_exact_methods(routed):
    ask = routed({"v1": {"service": PROBE, "method": "Echo"}, "v2": {"service": PROBE, "method": "EchoTwo"}})
    assert ask(f"/{PROBE}/Echo") == "v1"
    assert ask(f"/{PROBE}/EchoTwo") == "v2"
    assert ask(f"/{PROBE}/EchoThree") == "12"


def test_R1_service_and_method_are_case_sensitive(routed):
    ask = routed({"v1": {"service": PROBE, "method": "Echo"}})
    assert ask(f"/{PROBE}/echo") == "12"
    assert ask(f"/{PROBE.lower()}/Echo") == "12"


def test_G2_headers(routed):
    def header(name, value):
        return {"headers": [{"name": name, "exact": value}]}

    ask = routed({
        "one": header("version", "one"),
        "two": header("version", "two"),
        "both": {"headers": [{"name": "version", "exact": "two"}, {"name": "Color", "exact": "orange"}]},
        "cold": [header("color", "blue"), header("color", "green")],
        "warm": [header("color", "red"), header("color", "yellow")],
    })
    assert ask(headers=[("version", "one")]) == "one"
    assert ask(headers=[("version", "two")]) == "two"
    assert ask(headers=[("version", "two"), ("color", "orange")]) == "both"
    assert ask(headers=[("version", "two"), ("color", "blue")]) == "two", "a tie: the order in the file decides"
    assert ask(headers=[("color", "orange")]) == "12"
    assert ask(headers=[("some-other-header", "one")]) == "12"
    assert ask(headers=[("color", "blue")]) == ask(headers=[("color", "green")]) == "cold"
    assert ask(headers=[("color", "red")]) == ask(headers=[("color", "yellow")]) == "warm"
    assert ask(headers=[("color", "purple")]) == "12"


def test_G3_listeners_and_hosts(routed):
    ask = routed({
        "v1": {"hosts": ["bar.com"]}, "v2": {"hosts": ["foo.bar.com"]}, "v3": {"hosts": ["*.bar.com", "*.foo.com"]}})
    assert ask(host="bar.com") == "v1"
    assert ask(host="foo.bar.com") == "v2"
    for host in ("baz.bar.com", "boo.bar.com", "multiple.prefixes.bar.com", "multiple.prefixes.foo.com"):
        assert ask(host=host) == "v3"
    assert ask(host="foo.com") == "12"
    assert ask(host="no.matching.host") == "12"


@pytest.mark.parametrize("host, name", [
    ("api.example.com", "exact"), ("api.example.com:443", "exact"), ("API.Example.COM", "exact"),
    ("api.example.com:", "exact"), ("x.example.com:8080", "wild"), ("example.com", "12"), ("badexample.com", "12"),
    ("10.0.0.1", "four"), ("10.0.0.1:50051", "four"), ("[::1]", "six"), ("[::1]:50051", "six"),
    ("[2001:db8::1]:443", "12"),
])
def test_R11_port_never_takes_part_in_matching_hosts(routed, host, name):
    ask = routed({
        "exact": {"hosts": ["api.example.com"]}, "wild": {"hosts": ["*.example.com"]},
        "four": {"hosts": ["10.0.0.1"]}, "six": {"hosts": ["::1"]}})
    assert ask(host=host) == name


def test_precedence_of_hosts(routed):
    ask = routed({
        "any": {}, "short": {"hosts": ["*.b.example"]}, "long": {"hosts": ["*.a.b.example"]},
        "exact": {"hosts": ["x.a.b.example"]}})
    assert ask(host="x.a.b.example") == "exact"
    assert ask(host="y.a.b.example") == "long"
    assert ask(host="y.b.example") == "short"
    assert ask(host="elsewhere") == "any"


def test_precedence_of_service_method_and_headers(routed):
    loud = [{"name": "x-loud", "present": True}, {"name": "x-a", "exact": "1"}]
    ask = routed({
        "any": {}, "headers": {"headers": loud}, "method": {"method": "Unary"}, "service": {"service": PROBE},
        "both": {"service": PROBE, "method": "Unary"},
        "both-header": {"service": PROBE, "method": "Unary", "headers": loud[:1]},
    })
    extra = [("x-loud", "y"), ("x-a", "1")]
    assert ask() == "both"
    assert ask(headers=extra) == "both-header"
    assert ask(f"/{PROBE}/Other") == "service"
    assert ask(f"/{PROBE}/Other", headers=extra) == "service", "the service counts before headers"
    assert ask("/else.Where/Unary") == "method"
    assert ask("/else.Where/Other") == "any"
    assert ask("/else.Where/Other", headers=extra) == "headers"


def test_prefix_matches_by_path_element(routed):
    ask = routed({"v2": {"path_prefix": "/v2"}, "exact": {"path": "/v2/exact"}, "root": {"path_prefix": "/"}})
    assert ask("/v2") == ask("/v2/x") == ask("/v2/x/y") == ask("/v2/") == "v2"
    assert ask("/v2example") == "root"
    assert ask("/v2/exact") == "exact"
    assert ask("/v2/exact?query=1") == "exact"


def test_longest_prefix_wins(routed):
    ask = routed({"a": {"path_prefix": "/m"}, "c": {"path_prefix": "/m/prefix/one"}, "b": {"path_prefix": "/m/prefix"}})
    assert ask("/m/prefix/one/any") == "c"
    assert ask("/m/prefix/any") == "b"
    assert ask("/m/any") == "a"


@pytest.mark.parametrize("predicate, hits, misses", [
    ({"exact": "yes"}, ["yes"], ["Yes", "yes ", "no", None]),
    ({"prefix": "ye"}, ["ye", "yes"], ["y", "no", None]),
    ({"regex": "v[0-9]+"}, ["v1", "v42"], ["v", "xv1", "v1x", None]),
    ({"present": True}, ["", "x"], [None]),
    ({"absent": True}, [None], ["", "x"]),
])
def test_header_predicates(routed, predicate, hits, misses):
    ask = routed({"hit": {"headers": [{"name": "X-Asked", **predicate}]}})

    def with_value(value):
        return ask(headers=[] if value is None else [("x-asked", value)])

    assert [with_value(value) for value in hits] == ["hit"] * len(hits)
    for value in misses:
        if value == "yes ":
            continue                  # HTTP/2 forbids the trailing space itself
        assert with_value(value) == "12", value


def test_R5_repeated_headers_are_matched_joined(routed):
    ask = routed({"hit": {"headers": [{"name": "x-a", "exact": "1,2"}]}})
    assert ask(headers=[("x-a", "1"), ("x-a", "2")]) == "hit"


def test_routes_of_one_listener_do_not_leak_to_another(routed):
    listeners = [{"name": "left", "address": "127.0.0.1:0"}, {"name": "right", "address": "127.0.0.1:0"}]
    ask = routed({
        "only-left": {"listeners": ["left"], "path": "/a"}, "only-right": {"listeners": ["right"], "path": "/b"},
        "everywhere": {"path": "/c"}}, listeners=listeners)
    assert ask("/a", listener="left") == "only-left"
    assert ask("/a", listener="right") == "12"
    assert ask("/b", listener="left") == "12"
    assert ask("/b", listener="right") == "only-right"
    assert ask("/c", listener="left") == ask("/c", listener="right") == "everywhere"


def test_ten_thousand_routes_still_route_right(moongate, upstream, connect):
    routes = [{"name": f"r{n}", "match": _kind(n), "upstream": "main"} for n in range(10_000)]
    routes.append({"name": "hit", "match": {"hosts": ["last.example"], "service": PROBE}, "upstream": "hit"})
    proxy = moongate(configuration(
        upstream(_named("main")).address, routes=routes, upstreams={"hit": [upstream(_named("hit")).address]}))
    client = connect(proxy.address)
    assert client.call(request(authority="last.example"))[0].get("x-upstream") == "hit"
    assert client.call(request(authority="h9996.example", path="/any"))[0].get("x-upstream") == "main"
    assert client.call(request(path="/prefix/9998/x"))[0].get("x-upstream") == "main"


def _kind(number):
    return [{"hosts": [f"h{number}.example"]}, {"service": f"pkg.S{number}", "method": "M"},
            {"path_prefix": f"/prefix/{number}"}, {"path": f"/exact/{number}"}][number % 4]


def test_default_answer_of_an_echo_script_shows_the_head(moongate, upstream, connect):
    proxy = moongate(configuration(upstream(answer_ok).address))
    head = connect(proxy.address).call()[0]
    assert head.get("x-seen-path") == f"/{PROBE}/Unary"
