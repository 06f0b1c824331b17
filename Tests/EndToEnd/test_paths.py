"""One canonical path for policies, routes and servers (docs/routing.md, Paths)."""
import json

import pytest

from harness.frame_client import request
from harness.frame_upstream import answer_ok
from harness.path_servers import SERVERS
from harness.proxy import run_command
from harness.settings import configuration, route, text
from harness.spellings import REFUSED, content_type, method, spellings
from harness.waiting import eventually

STRICT_AND_LENIENT = [
    {"name": "main", "address": "127.0.0.1:0"}, {"name": "lenient", "address": "127.0.0.1:0", "paths": "lenient"}]
SPECIAL_HOSTS = ["keep.example", "parameters.example"]


def ask(client, path, kind="application/grpc", host="test.example", verb="POST", extra=()):
    """What the upstream got (`answer_ok`), the status, or `refused`."""
    frames = client.call(request(path=path, authority=host, method=verb, content_type=kind, extra=extra))
    head = frames[0]
    if head.type == "RstStream" or head.get(":status") == "400" or head.get("grpc-status") == "13":
        return REFUSED
    return head.get("x-seen-path") or head.get("grpc-status") or head.get(":status")


def test_the_corpus_has_many_spellings():
    assert len(spellings()) >= 200 and len({(item.target, item.path) for item in spellings()}) == len(spellings())


@pytest.mark.parametrize("target", ["rest", "grpc", "keep", "parameters", "lenient"])
def test_R1_every_spelling_of_the_corpus(moongate, upstream, connect, target):
    admin = {"path_prefix": "/admin"}
    proxy = moongate(configuration(upstream(answer_ok).address, listeners=STRICT_AND_LENIENT, routes=[
        route(name="admin", matches=[admin, {"hosts": SPECIAL_HOSTS, **admin}]),
        route(name="keep", match={"hosts": ["keep.example"]}, encoded_slash="keep"),
        route(name="parameters", match={"hosts": ["parameters.example"]}, path_parameters="allow"), route()]))
    client = connect(proxy.bound["lenient" if target == "lenient" else "main"])
    wrong = []
    for item in spellings(target):
        got = ask(client, item.path, content_type(target), f"{target}.example", method(target))
        if got != item.result:
            wrong.append(f"{item.path} ({item.family}): {got}, not {item.result}")
    assert not wrong, "\n".join(wrong)


# Real servers

DENIED = {"method-allow": {"deny": ["shop.Admin/*", "admin/*"]}}
DENY = {"name": "deny", "lua": 'function on_request(handle) handle:respond({ [":status"] = "403" }, "no") end'}
GUARDS = {
    "listener": (lambda server: configuration(
        server, listeners=[{"name": "main", "address": "127.0.0.1:0", "policies": [DENIED]}]), {"delete"}),
    "route": (lambda server: configuration(server, routes=[
        route(name="denied", matches=[{"path_prefix": "/admin"}, {"service": "shop.Admin"}], policies=[DENY]), route()]),
        {"delete", "below", "root"}),
    "loose routes": (lambda server: configuration(server, routes=[
        route(name="denied", matches=[{"path_prefix": "/admin"}, {"service": "shop.Admin"}], policies=[DENY],
              encoded_slash="keep", path_parameters="allow"),
        route(encoded_slash="keep", path_parameters="allow")]), {"delete", "below", "root"}),
}


@pytest.fixture
def server(request, tmp_path):
    kind = request.param
    assert kind.is_there(), f"{kind.__name__} is missing: scripts/install --tests"
    made = kind(tmp_path / "server")
    yield made
    made.stop()


def ran(client, path, kind, verb):
    frames = client.call(request(path=path, method=verb, content_type=kind), body=b"\0\0\0\0\0" if verb == "POST" else b"")
    return frames[0].get("x-ran")


@pytest.mark.parametrize("server", SERVERS, indirect=True, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("guard", GUARDS)
def test_nothing_denied_runs_whatever_its_spelling(moongate, connect, server, guard):
    direct = connect(server.address)
    assert ran(direct, server.understood, "application/grpc", "POST") == "delete", "the server reads such spellings"
    made, denied = GUARDS[guard]
    client = connect(moongate(made(server.address)).address)
    assert ran(client, "/shop.Public/Get", "application/grpc", "POST") == "open"
    through, opened = [], 0
    for item in spellings():
        for kind, verb in (("application/grpc", "POST"), ("application/json", "POST"), ("", "GET")):
            found = ran(client, item.path, kind, verb)
            opened += found == "open"
            if found in denied:
                through.append(f"{verb} {item.path} as {kind or 'nothing'} ran {found}")
    assert not through, "\n".join(through)
    assert opened > 50, "most others are served"


# Policies

RECORDING = """
function on_request(handle)
  local headers = handle:headers()
  headers:add("x-path", headers:get(":path"))
  headers:add("x-path", handle:path())
end
"""


def test_policies_of_the_listener_see_the_canonical_path(moongate, upstream, connect):
    server = upstream()
    proxy = moongate(configuration(server.address, listeners=[
        {"name": "main", "address": "127.0.0.1:0", "policies": [{"policy": "policies/see.lua"}]}]),
        policies={"see.lua": RECORDING})
    client = connect(proxy.address)
    stream = client.open(request(path="/%61//b%3a?%61", content_type="", method="GET"), end_stream=True)
    connection, head = server.next_request()
    connection.respond(head.stream)
    client.end(stream)
    assert head.all("x-path") == ["/a/b%3A?%61", "/a/b%3A"] and head.get(":path") == "/a/b%3A?%61"


@pytest.mark.parametrize("policy", ["method-allow", "header-auth", "api-key", "basic-auth"])
def test_an_encoded_path_gets_past_no_policy_of_a_route(moongate, upstream, connect, policy):
    """Each guards /admin; what is beside it is open."""
    server = upstream(answer_ok)
    settings = {"method-allow": {"allow": []}, "header-auth": {"users": "users.yaml"}, "api-key": {"keys": "keys.yaml"},
                "basic-auth": {"users": "passwords.yaml"}}[policy]
    hashed = "$2b$10$abcdefghijklmnopqrstuuJ0.5nZ4h3bRZ1yq0cX8yQkYpZ9q3F5a"
    proxy = moongate(configuration(server.address, routes=[
        route(name="admin", match={"path_prefix": "/admin"}, policies=[{policy: settings}]), route()]),
        files={"users.yaml": f'ada: {{password: "{hashed}", allow: ["*"]}}\n', "keys.yaml": "a: " + "0a" * 32 + "\n",
               "passwords.yaml": f'ada: "{hashed}"\n'})
    client = connect(proxy.address)
    assert ask(client, "/open", "application/json") == "/open"
    known = len(server.heads())
    for item in spellings():
        if "admin" in item.result.lower():
            got = ask(client, item.path, "application/json")
            assert got in (REFUSED, "401", "403") or not got.startswith(("/admin/", "/admin?")), (item.path, got)
    assert all(not head.get(":path").startswith("/admin/") for head in server.heads()[known:])


def test_a_policy_cannot_write_a_path_that_is_refused(scripted):
    proxy, client, server = scripted("""
        function on_request(handle)
          local headers = handle:headers()
          headers:replace(":path", headers:get("x-new"))
        end""")
    for path in ["/a/../b", "/%2e%2e/b", "/a%00", "/a%5cb", "/%2561", "/a%", "/x%2f..%2fb", "/..;/a"]:
        end = client.call(request(content_type="", method="GET", extra=[("x-new", path)]))
        assert end[0].get(":status") == "500", path
    assert not server.heads()
    for reason in ("dot segments", "percent-encoded twice"):
        proxy.wait_entries(lambda entry: reason in entry["message"])
    # Looked at when the hooks have run: it depends on the route.
    for path in ["/a;b", "/a%2Fb"]:
        end = client.call(request(content_type="", method="GET", extra=[("x-new", path)]))
        assert end[0].get(":status") == "400", path
    assert not server.heads()
    stream = client.open(request(content_type="", method="GET", extra=[("x-new", "/%61dmin//x?%61")]), end_stream=True)
    connection, head = server.next_request()
    connection.respond(head.stream)
    client.end(stream)
    assert head.get(":path") == "/admin/x?%61"


def test_a_refused_path_of_a_policy_that_may_fail_leaves_the_clients(moongate, upstream, connect):
    server = upstream(answer_ok)
    proxy = moongate(configuration(server.address, routes=[route(policies=[
        {"name": "bad", "on_error": "continue", "lua": 'function on_request(h) h:headers():replace(":path", "/../x") end'}])]))
    assert ask(connect(proxy.address), "/mine") == "/mine"


def test_the_next_policy_sees_what_the_last_one_wrote_in_canonical_form(moongate, upstream, connect):
    server = upstream(answer_ok)
    write = {"name": "write", "lua": 'function on_request(h) h:headers():replace(":path", "/%61dmin/x") end'}
    guard = {"name": "guard", "lua": """
        function on_request(h)
          if h:path():find("^/admin") then h:respond({ [":status"] = "403" }, "no") end
        end"""}
    proxy = moongate(configuration(server.address, listeners=[
        {"name": "main", "address": "127.0.0.1:0", "policies": [write, guard]}]))
    frames = connect(proxy.address).call(request(content_type="", method="GET"))
    assert frames[0].get(":status") == "403" and not server.heads()


# Routes

def test_parameters_and_encoded_slashes_need_the_routes_leave_at_every_choice(moongate, upstream, connect):
    server = upstream(answer_ok)
    move = {"name": "move", "lua": """
        function on_request(h)
          if h:headers():get("x-move") then h:headers():replace("x-to", "closed") end
        end"""}
    seen = {"name": "seen", "lua": 'function on_request(h) print("seen", h:path()) end'}
    to_closed = {"headers": [{"name": "x-to", "exact": "closed"}]}
    proxy = moongate(configuration(server.address, listeners=[
        {"name": "main", "address": "127.0.0.1:0", "policies": [seen, move]}], routes=[
            route(name="closed", match={"path_prefix": "/files", **to_closed}),
            route(name="open", match={"path_prefix": "/files"}, encoded_slash="keep", path_parameters="allow")]))
    client = connect(proxy.address)
    for path in ["/files/a%2fb", "/files/a;b", "/files/a%3bb"]:
        assert ask(client, path, "", verb="GET") == path.replace("%2f", "%2F").replace("%3b", "%3B")
        assert ask(client, path, "", verb="GET", extra=[("x-move", "1")]) == REFUSED
        assert ask(client, path, "", verb="GET", extra=[("x-to", "closed")]) == REFUSED
        assert ask(client, path.replace("files", "none"), "", verb="GET") == REFUSED, "no route allows anything"
    assert ask(client, "/files/a%2Fb") == REFUSED, "never for gRPC"
    assert ask(client, "/none", "", verb="GET") == "404"
    heads = len(server.heads())
    assert heads == 3
    said = "\n".join(proxy.lines)
    assert "/none/a" not in said, "what no route allows reaches no policy of the listener"


def test_patterns_match_reserved_characters_in_both_spellings(moongate, upstream, connect):
    proxy = moongate(configuration(upstream(answer_ok).address, routes=[
        route(name="raw", match={"path": "/v1/{%61}:get"}), route(name="encoded", match={"path_prefix": "/v2/%40me"})]))
    client = connect(proxy.address)
    for path in ["/v1/{a}:get", "/v1/%7Ba%7D%3Aget", "/v1/%7ba%7d:get", "/v2/@me/x", "/v2/%40me"]:
        assert ask(client, path, "", verb="GET").startswith("/v"), path
    assert ask(client, "/v1/a:get", "", verb="GET") == "404"


@pytest.mark.parametrize("match, hint", [
    ({"path": "/a//b"}, "merged"), ({"path_prefix": "/a/../b"}, "leads to"), ({"path": "/a%2fb"}, "encoded_slash: keep"),
    ({"path": "/a;b"}, "path_parameters: allow"), ({"path": "/a#b"}, "%23"), ({"path": "/a b"}, "/a%20b"),
    ({"path": "/\u00e4"}, "/%C3%A4"), ({"path": "/a%"}, "%25"), ({"path_prefix": "/%2561"}, "encoded once"),
])
def test_a_pattern_that_no_request_fits_is_an_error_with_its_line_and_a_hint(tmp_path, match, hint):
    file = tmp_path / "moongate.yaml"
    file.write_text(text(configuration("127.0.0.1:1", routes=[route(match=match)])), encoding="utf-8")
    done = run_command("check", "--config", file)
    said = done.stdout + done.stderr
    [key] = match
    line = next(number for number, line in enumerate(file.read_text().splitlines(), 1) if f'"{key}"' in line)
    assert done.returncode != 0 and f"moongate.yaml:{line}:" in said and hint in said, said


@pytest.mark.parametrize("rewrite", [{"path": "/a//b"}, {"path_prefix": "/a/.."}, {"path": "/a%2fb"},
                                     {"path_regex": {"pattern": "^/%61", "substitution": "/b"}}])
def test_a_rewrite_to_a_path_that_is_refused_is_an_error(tmp_path, rewrite):
    file = tmp_path / "moongate.yaml"
    file.write_text(text(configuration("127.0.0.1:1", routes=[route(rewrite=rewrite)])))
    done = run_command("check", "--config", file)
    assert done.returncode != 0 and "rewrite" in done.stdout + done.stderr or "path_regex" in done.stdout + done.stderr


def test_a_pattern_of_method_allow_that_no_call_fits_is_an_error(tmp_path):
    file = tmp_path / "moongate.yaml"
    file.write_text(text(configuration("127.0.0.1:1", routes=[route(policies=[{"method-allow": {"deny": ["a/b%2Fc"]}}])])))
    done = run_command("check", "--config", file)
    assert done.returncode == 2 and "pattern 1 fits no method: the path has an encoded slash" in done.stderr


def test_what_a_rewrite_makes_is_looked_at_again(moongate, upstream, connect):
    server = upstream(answer_ok)
    proxy = moongate(configuration(server.address, routes=[
        route(rewrite={"path_regex": {"pattern": "^/v(.*)$", "substitution": "/\\1"}})]))
    client = connect(proxy.address)
    for path in ["/v../admin", "/v.", "/v..;x"]:
        assert ask(client, path, "", verb="GET") in ("500", REFUSED)
    assert not server.heads()
    assert ask(client, "/v/x%2bY", "", verb="GET") == "/x%2BY"


# What people see

def test_the_access_log_has_the_path_as_sent_beside_the_canonical_one(moongate, upstream, connect):
    proxy = moongate(configuration(upstream(answer_ok).address, access_log={"path": "access.log"}))
    client = connect(proxy.address)
    for path in ["/%61dmin//x?%61", "/plain", "/a/../b"]:
        client.call(request(path=path, content_type="", method="GET"))
    log = proxy.folder / "access.log"
    entries = eventually(lambda: (found := log.read_text().splitlines()) and len(found) == 3 and found)
    sent, plain, refused = [json.loads(entry) for entry in entries]
    assert sent["path"] == "/admin/x?%61" and sent["path_sent"] == "/%61dmin//x?%61"
    assert plain["path"] == "/plain" and "path_sent" not in plain
    assert refused["path"] == "/a/../b" and "path_sent" not in refused and refused["termination"] == "malformed_request"


def test_explain_says_what_becomes_of_the_path(tmp_path, moongate):
    made = configuration("127.0.0.1:1", listeners=STRICT_AND_LENIENT, routes=[
        route(name="admin", match={"path_prefix": "/admin"}), route(name="keep", match={"path_prefix": "/files"},
                                                                  encoded_slash="keep"), route()])
    file = tmp_path / "moongate.yaml"
    file.write_text(text(made))
    proxy = moongate(made)

    def explain(path, *more):
        arguments = ["--host", "a", "--path", path, "--header", "content-type=application/json", *more]
        here = run_command("explain", "-c", file, *arguments)
        assert here.stdout == run_command("explain", "--admin", proxy.admin, *arguments).stdout, here.stderr
        return here.stdout

    [main, lenient] = json.loads(explain("/%61dmin%2bx//y", "--json"))["listeners"]
    assert (main["path"], main["route"], main["refused"]) == ("/admin%2Bx/y", "all", None)
    assert lenient["path"] == "/admin%2bx//y"
    assert json.loads(explain("/%61dmin/x", "--json"))["listeners"][0]["route"] == "admin"
    text_of = explain("/%61dmin/x", "--listener", "main")
    assert "/admin/x for policies, routes and the upstream" in text_of
    for path, why in [("/a/../b", "dot segments"), ("/x%2Fy", "encoded slash"), ("/a;b", "parameters"), ("/a%00", "control")]:
        assert why in explain(path, "--listener", "main"), path
    assert "refused" not in explain("/files/a%2Fb", "--listener", "main")
    grpc = run_command("explain", "-c", file, "--host", "a", "--path", "/%61/b", "--listener", "main").stdout
    assert "400, INTERNAL for gRPC" in grpc and "percent sign" in grpc


def test_health_checks_are_answered_at_their_canonical_path_alone(moongate, connect):
    proxy = moongate(configuration(routes=[], upstreams={}, listeners=[
        {"name": "main", "address": "127.0.0.1:0", "grpc_health": True}]))
    client = connect(proxy.address)
    frames = client.call(request(path="/grpc.health.v1.Health/Check"), body=b"\0\0\0\0\0")
    assert frames[-1].get("grpc-status") == "0"
    for path in ["/grpc.health.v1.Health/%43heck", "//grpc.health.v1.Health/Check", "/grpc.health.v1.Health;x/Check"]:
        assert ask(client, path) == REFUSED, path
