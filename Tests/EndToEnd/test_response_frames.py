"""What becomes of a response's frames on their way to the client (rules S and R13)."""
import pytest
from hyperframe.frame import HeadersFrame

from harness.frame_client import request
from harness.frame_upstream import OK, RESPONSE
from harness.frames import INTERNAL_ERROR, NO_ERROR, message
from harness.settings import configuration


def begin(between, end_stream=True):
    """A request under way: client, its stream, the upstream's connection and stream there."""
    _, client, server = between
    stream = client.open(end_stream=end_stream)
    connection, head = server.next_request()
    return client, stream, connection, head.stream


def test_S1_trailers_only_stays_one_headers_frame(between):
    client, stream, connection, theirs = begin(between)
    connection.send_headers(theirs, RESPONSE + [("grpc-status", "5"), ("grpc-message", "gone")], end_stream=True)
    frames = client.answer(stream)
    assert [frame.type for frame in frames] == ["Headers"]
    assert frames[0].ends_stream
    assert frames[0].get("grpc-status") == "5" and frames[0].get("grpc-message") == "gone"


def test_S1_normal_shape_is_headers_data_trailers(between):
    client, stream, connection, theirs = begin(between)
    connection.respond(theirs, body=message(b"hello"), headers=[("x-a", "1")], trailers=[("x-b", "2")])
    frames = client.answer(stream)
    assert [frame.type for frame in frames] == ["Headers", "Data", "Headers"]
    assert frames[0].get("x-a") == "1" and not frames[0].ends_stream
    assert frames[1].data == message(b"hello") and not frames[1].ends_stream
    assert frames[2].get("x-b") == "2" and frames[2].ends_stream


def test_S2_headers_and_trailers_without_data_stay_two_blocks(between):
    client, stream, connection, theirs = begin(between)
    connection.send_headers(theirs, RESPONSE)
    client.expect("Headers", stream)
    connection.send_headers(theirs, OK, end_stream=True)
    frames = client.answer(stream)
    assert [frame.type for frame in frames] == ["Headers", "Headers"]
    assert [frame.ends_stream for frame in frames] == [False, True]


def test_S3_upstream_that_ends_without_trailers_gets_trailers_that_say_so(between):
    client, stream, connection, theirs = begin(between)
    connection.send_headers(theirs, RESPONSE)
    connection.send_data(theirs, message(b"hello"), end_stream=True)
    frames = client.answer(stream)
    assert b"".join(frame.data for frame in frames if frame.type == "Data") == message(b"hello")
    last = frames[-1]
    assert last.type == "Headers" and last.get("grpc-status") in ("2", "13")


def test_S1_response_head_is_forwarded_before_any_data(between):
    client, stream, connection, theirs = begin(between)
    connection.send_headers(theirs, RESPONSE)
    assert client.expect("Headers", stream, timeout=1).get(":status") == "200"


def test_S4_grpc_message_is_forwarded_byte_for_byte(between):
    client, stream, connection, theirs = begin(between)
    text = "bad%zzescape%20caf%C3%A9 100%"
    connection.send_headers(theirs, RESPONSE + [("grpc-status", "2"), ("grpc-message", text)], end_stream=True)
    assert client.end(stream).get("grpc-message") == text


def test_S9_trailers_keep_order_repeats_and_binary_values(between):
    client, stream, connection, theirs = begin(between)
    trailers = [("x-t", "1"), ("x-t-bin", "AAE="), ("x-t", "2"), ("grpc-status-details-bin", "CAUSBGdvbmU")]
    connection.respond(theirs, trailers=trailers)
    last = client.end(stream)
    assert last.all("x-t") == ["1", "2"]
    assert last.all("x-t-bin") == ["AAE="]
    assert last.get("grpc-status-details-bin") == "CAUSBGdvbmU"


def test_S9_trailers_of_200_kib_reach_a_client_that_takes_them(between):
    client, stream, connection, theirs = begin(between)
    value = "d" * 200_000
    connection.respond(theirs, trailers=[("grpc-status-details-bin", value)])
    last = client.end(stream)
    # Either the whole, or a clean failure: never a truncated success.
    assert last.get("grpc-status-details-bin") == value or last.get("grpc-status") != "0"


@pytest.mark.parametrize("status, code", [
    ("400", 13), ("401", 16), ("403", 7), ("404", 12), ("429", 14), ("502", 14), ("503", 14), ("504", 14), ("500", 2),
    ("418", 2),
])
def test_S6_answer_that_is_not_grpc_gets_the_mapped_status(moongate, upstream, client, status, code):
    """Seen by a grpcio client, which maps the HTTP status itself if the proxy leaves the answer as it is."""
    def html(connection, head):
        connection.wait_end(head.stream)
        connection.send_headers(head.stream, [(":status", status), ("content-type", "text/html")])
        connection.send_data(head.stream, b"<h1>no</h1>", end_stream=True)

    proxy = moongate(configuration(upstream(html).address))
    assert client(proxy.address).refused().code().value[0] == code


def test_S6_grpc_status_wins_over_the_http_status(moongate, upstream, client):
    def odd(connection, head):
        connection.wait_end(head.stream)
        connection.send_headers(
            head.stream, RESPONSE + [("grpc-status", "6")], end_stream=True)

    proxy = moongate(configuration(upstream(odd).address))
    assert client(proxy.address).refused().code().value[0] == 6


def test_R2_answers_to_plain_http_requests_are_relayed_as_they_are(between):
    _, client, server = between
    stream = client.open(request(method="GET", path="/page", content_type=""), end_stream=True)
    connection, head = server.next_request()
    assert head.get(":method") == "GET"
    connection.send_headers(head.stream, [(":status", "404"), ("content-type", "text/html")])
    connection.send_data(head.stream, b"<h1>no</h1>", end_stream=True)
    frames = client.answer(stream)
    assert frames[0].get(":status") == "404" and frames[0].get("content-type") == "text/html"
    assert frames[0].get("grpc-status") is None
    assert b"".join(frame.data for frame in frames) == b"<h1>no</h1>"


def test_R10_answer_to_head_has_no_body(between):
    _, client, server = between
    stream = client.open(request(method="HEAD", path="/page", content_type=""), end_stream=True)
    connection, head = server.next_request()
    connection.send_headers(head.stream, [(":status", "200"), ("content-length", "42")], end_stream=True)
    frames = client.answer(stream)
    assert [frame.type for frame in frames if frame.data or frame.headers] == ["Headers"]
    assert frames[0].get(":status") == "200" and frames[0].get("content-length") == "42"


def test_R9_content_length_without_a_body_is_an_error(between):
    client, stream, connection, theirs = begin(between)
    connection.send_headers(theirs, RESPONSE + [("content-length", "5"), ("grpc-status", "0")], end_stream=True)
    last = client.end(stream)
    assert last.type == "RstStream" or last.get("grpc-status") not in (None, "0")


@pytest.mark.parametrize("interim", ["100", "103"])
def test_R13_interim_answers_precede_the_final_one(between, interim):
    client, stream, connection, theirs = begin(between)
    connection.send_headers(theirs, [(":status", interim), ("x-early", "1")])
    connection.respond(theirs, body=message(b"late"))
    frames = client.answer(stream)
    statuses = [frame.get(":status") for frame in frames if frame.type == "Headers" and frame.get(":status")]
    assert statuses in ([interim, "200"], ["200"])
    assert frames[-1].get("grpc-status") == "0"
    assert b"".join(frame.data for frame in frames) == message(b"late")


@pytest.mark.parametrize("head", [
    [("content-type", "application/grpc")],
    [(":status", "abc"), ("content-type", "application/grpc")],
    [(":status", "200"), (":status", "200")],
    [(":status", "200"), ("connection", "close")],
    [(":status", "200"), ("Upper", "1")],
], ids=["no status", "status no number", "status twice", "connection field", "upper case"])
def test_S7_malformed_answer_is_an_error_and_the_connection_goes_on(between, head):
    client, stream, connection, theirs = begin(between)
    connection.send_headers(theirs, head)
    last = client.end(stream)
    assert last.type == "RstStream" or last.get("grpc-status") not in (None, "0")
    other = client.open(end_stream=True)
    newest, second = between[2].next_request()
    newest.respond(second.stream)
    assert client.end(other).get("grpc-status") == "0"


def test_S5_connection_lost_mid_message_resets_the_stream(between):
    client, stream, connection, theirs = begin(between)
    connection.send_headers(theirs, RESPONSE)
    connection.send_data(theirs, message(b"12345678")[:9])
    client.expect("Data", stream)
    connection.close()
    last = client.end(stream)
    assert last.type == "RstStream"
    assert last.code == INTERNAL_ERROR


def test_S5_connection_lost_between_messages_ends_with_trailers(between):
    client, stream, connection, theirs = begin(between)
    connection.send_headers(theirs, RESPONSE)
    connection.send_data(theirs, message(b"whole"))
    client.expect("Data", stream)
    connection.close()
    last = client.end(stream)
    assert last.type == "Headers" and last.ends_stream
    assert last.get("grpc-status") == "14"


def test_S5_connection_lost_before_the_answer_is_unavailable_in_one_frame(between):
    client, stream, connection, theirs = begin(between)
    connection.close()
    frames = client.answer(stream)
    assert [frame.type for frame in frames] == ["Headers"]
    assert frames[0].get(":status") == "200"
    assert frames[0].get("content-type") == "application/grpc"
    assert frames[0].get("grpc-status") == "14"


def test_S5_local_reply_has_the_clients_content_type(moongate, connect):
    proxy = moongate(configuration(routes=[], upstreams={}))
    client = connect(proxy.address)
    frames = client.call(request(content_type="application/grpc+proto"))
    assert [frame.type for frame in frames] == ["Headers"]
    assert frames[0].get("content-type") == "application/grpc+proto"
    assert frames[0].get("grpc-status") == "12"


def test_S7_wire_error_of_the_upstream_is_no_crash(between):
    client, stream, connection, theirs = begin(between)
    connection.send_raw(HeadersFrame(theirs, b"\xff\xff\xff\xff", flags=["END_HEADERS"]).serialize())
    last = client.end(stream)
    assert last.type == "Headers" and last.get("grpc-status") in ("13", "14") or last.code == INTERNAL_ERROR
