"""The shipped policy external-auth, with an auth service in the test's own hands."""
import json

import pytest

from hyperframe.frame import RstStreamFrame

from harness.frame_client import request
from harness.frame_upstream import answer_ok
from harness.frames import CANCEL
from harness.settings import configuration, route
from harness.waiting import eventually


@pytest.fixture
def guarded(moongate, upstream, connect):
    """Starts a proxy whose route asks an auth service; `answer` makes its answers from the question's head."""
    def start(answer, **settings):
        def script(connection, head):
            made = answer(head)
            if made is None:
                return
            status, headers, body = made
            frames = connection.headers_frames(
                head.stream, [(":status", str(status)), *headers], end_stream=not body)
            if body:
                frames.append(connection.data_frame(head.stream, body, end_stream=True))
            connection.send(*frames)

        server, auth = upstream(answer_ok), upstream(script)
        proxy = moongate(configuration(
            server.address, upstreams={"auth": [auth.address]},
            routes=[route(policies=[{"external-auth": {"upstream": "auth", **settings}}])]))
        proxy.server, proxy.auth = server, auth
        return proxy, connect(proxy.address)

    return start


def call(client, **options):
    frames = client.call(request(**options))
    return next(frame for frame in frames if frame.type == "Headers"), b"".join(
        frame.data for frame in frames if frame.type == "Data")


def test_the_service_is_asked_and_its_headers_reach_the_upstream(guarded):
    proxy, client = guarded(
        lambda head: (204, [("x-user", "ada"), ("x-group", "a"), ("x-group", "b"), ("x-other", "o")], b""),
        path_prefix="/auth", upstream_headers=["X-User", "x-group", "x-none"], request_headers=["X-Token"])
    head, _ = call(client, extra=[
        ("x-token", "t1"), ("x-token", "t2"), ("cookie", "c"), ("x-user", "mallory"), ("x-none", "forged")])
    asked = proxy.auth.heads()[0]
    assert asked.get(":path") == "/auth/moongate.test.Probe/Unary" and asked.get(":method") == "POST"
    assert asked.get(":authority") == "test.example" and asked.all("x-token") == ["t1", "t2"]
    assert asked.get("cookie") is None and asked.get("x-user") is None
    assert asked.get("x-forwarded-method") == "POST" and asked.get("x-forwarded-host") == "test.example"
    assert asked.get("x-forwarded-uri") == "/moongate.test.Probe/Unary"
    assert asked.get("x-forwarded-proto") == "http" and asked.get("x-forwarded-for") == "127.0.0.1"
    assert head.all("x-seen-x-user") == ["ada"] and head.all("x-seen-x-group") == ["a", "b"]
    assert head.get("x-seen-x-none") is None and head.get("x-seen-x-other") is None


def test_the_question_is_as_the_settings_say(guarded):
    proxy, client = guarded(lambda head: (200, [], b"fine"), path="/check", method="GET", authority="auth.example")
    assert call(client, extra=[("authorization", "Bearer t")])[0].get(":status") == "200"
    asked = proxy.auth.heads()[0]
    assert asked.get(":path") == "/check" and asked.get(":method") == "GET"
    assert asked.get(":authority") == "auth.example" and asked.get("authorization") == "Bearer t"


def test_the_client_gets_headers_of_the_answer(guarded):
    _, client = guarded(
        lambda head: (200, [("set-cookie", "a=1"), ("set-cookie", "b=2"), ("x-other", "o")], b""),
        client_headers=["Set-Cookie"])
    head, _ = call(client)
    assert head.all("set-cookie") == ["a=1", "b=2"] and head.get("x-other") is None


@pytest.mark.parametrize("status, code", [(401, "16"), (403, "7"), (302, "16"), (429, "14"), (404, "12")])
def test_a_refusal_becomes_a_grpc_status(guarded, status, code):
    proxy, client = guarded(lambda head: (status, [("www-authenticate", "Bearer"), ("x-other", "o")], b"not you"))
    head, _ = call(client)
    assert head.get("grpc-status") == code and head.get("grpc-message") == "not you"
    assert head.get("www-authenticate") == "Bearer" and head.get("x-other") is None
    assert not proxy.server.heads()


def test_a_page_is_no_grpc_message(guarded):
    _, client = guarded(lambda head: (401, [("content-type", "text/html; charset=utf-8")], b"<html>"))
    assert call(client)[0].get("grpc-message") == "not allowed by the auth service"


def test_a_refusal_reaches_other_clients_as_it_is(guarded):
    proxy, client = guarded(lambda head: (
        302, [("location", "https://login.example/"), ("set-cookie", "a=1"), ("set-cookie", "b=2"),
              ("content-type", "text/html")], b"<html>"))
    head, body = call(client, content_type="text/plain")
    assert head.get(":status") == "302" and head.get("location") == "https://login.example/"
    assert head.all("set-cookie") == ["a=1", "b=2"] and head.get("content-type") == "text/html" and body == b"<html>"
    assert not proxy.server.heads()


FAILURES = [lambda head: (500, [], b"broken"), lambda head: None]


@pytest.mark.parametrize("answer", FAILURES, ids=["status 500", "timeout"])
def test_without_an_answer_the_request_is_refused(guarded, answer):
    proxy, client = guarded(answer, timeout="200ms", error_status=503)
    head, _ = call(client)
    assert head.get("grpc-status") == "14" and head.get("grpc-message") == "the auth service cannot be asked"
    assert not proxy.server.heads()
    eventually(lambda: any("auth service auth: " in line for line in proxy.lines), 5, what="the reason in the log")


@pytest.mark.parametrize("answer", FAILURES, ids=["status 500", "timeout"])
def test_fail_open_lets_the_request_go_on_without_forged_headers(guarded, answer):
    proxy, client = guarded(answer, timeout="200ms", fail_open=True, upstream_headers=["x-user"])
    head, _ = call(client, extra=[("x-user", "mallory")])
    assert head.get("x-seen-path") and head.get("x-seen-x-user") is None
    eventually(lambda: any("auth service auth: " in line for line in proxy.lines), 5, what="the reason in the log")


def test_nobody_listens(guarded):
    proxy, client = guarded(lambda head: (200, [], b""))
    proxy.auth.close()
    assert call(client)[0].get("grpc-status") == "7"
    assert not proxy.server.heads()


def test_a_client_that_goes_away_ends_the_question(guarded):
    proxy, client = guarded(lambda head: None, timeout="60s")
    stream = client.open(request(), end_stream=True)
    head = eventually(lambda: next(iter(proxy.auth.heads()), None), 5, what="the question")
    connection = proxy.auth.connection()
    client.send(RstStreamFrame(stream, error_code=CANCEL))
    connection.wait_for(lambda frame: frame.type == "RstStream" and frame.stream == head.stream, 5, "reset")
    assert not proxy.server.heads()


@pytest.mark.parametrize("settings, text", [
    ({"upstream": "nosuch"}, "unknown upstream (known: "),
    ({"path": "check"}, "path must begin with a slash"),
    ({"path": "/a", "path_prefix": "/b"}, "exclude each other"),
    ({"error_status": 200}, "error_status"),
    ({"fail_opne": True}, "fail_opne"),
    ({"timeout": 5}, "timeout"),
])
def test_settings_that_cannot_be_meant_refuse_the_configuration(guarded, settings, text):
    proxy, client = guarded(lambda head: (200, [], b""))
    wrong = json.loads(json.dumps(proxy.configuration))
    wrong["routes"][0]["policies"][0]["external-auth"].update(settings)
    proxy.configure(wrong)
    assert text in proxy.refused_reload()
    assert call(client)[0].get(":status") == "200"
