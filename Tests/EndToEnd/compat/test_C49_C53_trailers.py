"""`trailers()`."""
from harness.compat import lua
from harness.frame_upstream import OK, RESPONSE
from harness.frames import message
from harness.lua_texts import FAILURE
from harness.recording import answer

GRPC = {"main": answer(200, RESPONSE[1:], message(b"abc"), [*OK, ("x-end", "1")])}


@lua("""
function envoy_on_request(h) h:logInfo(tostring((h:trailers()))) end
function envoy_on_response(h) h:logInfo(tostring((h:trailers()))) end
""")
def test_C49_headers_alone_have_no_trailers(both):
    assert both.call(responders={"main": answer(204, body=b"")}).status == 204
    both.logs(("info", "nil"), ("info", "nil"))


@lua("""
function envoy_on_request(h)
  h:body()
  h:logInfo(tostring((h:trailers())))
end
function envoy_on_response(h)
  for chunk in h:bodyChunks() do end
  h:logInfo(tostring((h:trailers())))
end
""")
def test_C50_a_body_without_trailers(both):
    assert both.call(body=b"abc").body == b"hello"
    both.logs(("info", "nil"), ("info", "nil"))


@lua("""
function envoy_on_request(h)
  local trailers = h:trailers()
  h:logInfo(trailers:get("x-end"))
  trailers:replace("x-end", "changed")
end
function envoy_on_response(h)
  local trailers = h:trailers()
  trailers:add("x-more", "2")
end
""")
def test_C51_trailers_without_the_body_let_it_pass(both):
    got = both.call(chunks=[b"ab", b"c"], trailers=[("x-end", "1")],
                    responders={"main": answer(trailers=[("x-end", "1")])})
    assert got.seen.body == b"abc" and got.seen.trailers["x-end"] == "changed"
    assert got.body == b"hello" and got.trailers == {"x-end": ["1"], "x-more": ["2"]}


@lua("""
function envoy_on_response(h)
  local trailers = h:trailers()
  h:logInfo(trailers:get("grpc-status") .. trailers:getNumValues("x-end"))
  trailers:replace("grpc-status", "7")
  trailers:replace("grpc-message", "changed")
  trailers:add("x-added", "a")
  trailers:remove("x-end")
end
""")
def test_C52_trailers_of_a_grpc_answer_are_changed(both):
    got = both.call(grpc=True, body=message(b""), responders=GRPC)
    assert got.trailers == {"grpc-status": ["7"], "grpc-message": ["changed"], "x-added": ["a"]}
    assert got.body == message(b"abc")
    both.logs(("info", "01"))


@lua("""
function envoy_on_response(h)
  for name, value in pairs(h:trailers()) do h:logInfo(name .. "=" .. value) end
end
""")
def test_C52_pairs_over_trailers(both):
    both.call(grpc=True, body=message(b""), responders=GRPC)
    both.logs(("info", "grpc-status=0"), ("info", "grpc-message="), ("info", "x-end=1"))


@lua(FAILURE + """
function envoy_on_request(h)
  local trailers = h:trailers()
  h:logInfo(failure(function() h:body() end))
  h:logInfo(failure(function() h:bodyChunks() end))
  h:logInfo(tostring(h:trailers() == trailers))
end
""")
def test_C53_body_after_trailers_raises(both):
    assert both.call(body=b"abc", trailers=[("x-end", "1")]).seen.body == b"abc"
    both.logs(("info", "cannot call body() after body has been streamed"),
              ("info", "cannot call bodyChunks after body processing has begun"), ("info", "true"))


@lua("""
function envoy_on_response(h)
  local status = h:headers():get("grpc-status")
  h:headers():add("x-in-headers", tostring(status))
  h:logInfo(tostring((h:trailers())))
end
""")
def test_a_trailers_only_answer_has_its_status_in_the_headers(both):
    def trailers_only(connection, head):
        connection.wait_end(head.stream)
        connection.send_headers(head.stream, [*RESPONSE, ("grpc-status", "5")], end_stream=True)

    got = both.call(grpc=True, body=message(b""), responders={"main": trailers_only})
    assert got["grpc-status"] == "5" and got["x-in-headers"] == "5"
    both.logs(("info", "nil"))
