/// What reads requests in every way that policies can.
enum FuzzPolicies {
    static let heads = """
        function on_request(handle)
          local headers = handle:headers()
          for name, value in pairs(headers) do local _ = #name + #value end
          handle:cookie("a") handle:query("a") handle:basicAuth() handle:bearer() handle:grpcMetadata("x-data-bin")
          handle:grpcMethod() handle:remoteAddress() handle:path()
          local text = headers:get("x-text")
          if text then
            pcall(moon.json.decode, text) pcall(moon.url.parse, text) pcall(moon.url.query, text)
            pcall(moon.url.unescape, text) pcall(moon.network, text) pcall(handle.base64Decode, handle, text)
            pcall(string.find, text, text) pcall(string.gsub, text, "(%w+)", "%1")
            pcall(headers.replace, headers, "x-copy", text) pcall(headers.add, headers, text, text)
            pcall(headers.remove, headers, text)
          end
        end
        function on_response(handle)
          for name, value in pairs(handle:headers()) do local _ = #name + #value end
          handle:headers():replace("x-status", handle:headers():get(":status") or "none")
        end
        function on_log(handle) handle:status() handle:grpcStatus() handle:responseTrailers() end
        """
    static let bodies = """
        function on_request(handle)
          if handle:headers():get("x-whole") then
            local body = handle:body()
            if body and body:length() > 3 then body:setBytes(body:getBytes(0, 3)) end
          elseif handle:headers():get("x-chunks") then
            for chunk in handle:bodyChunks() do chunk:setBytes(chunk:getBytes(0, chunk:length()) .. "x") end
          end
          handle:trailers()
        end
        function on_grpc_message(handle, message)
          if message:length() > 5 then message:set(message:bytes():reverse()) elseif message:length() == 1 then message:drop() end
        end
        """
    /// Calls of every kind, before the request goes on and after its answer has come, and a timer that calls as well. Calls go
    /// to the upstreams of the path's slot.
    static let calls = """
        local wanted = 0
        local slots = "0"
        local function call(kind, slot)
          if kind == "http" then moon.http.post("u" .. slot, "/call", "body", {timeout = 0.02})
          elseif kind == "grpc" then moon.grpc.call("f" .. slot, "/a.B/C", "text", {timeout = 0.05})
          elseif kind == "both" then
            moon.parallel({{upstream = "u" .. slot, path = "/one", timeout = 0.02}, {upstream = "d" .. slot, path = "/two", timeout = 0.02}})
          elseif kind == "sleep" then moon.sleep(0.01)
          elseif kind == "timer" then wanted, slots = math.min(wanted + 1, 3), slot
          end
        end
        function on_request(handle)
          local slot, kind = handle:path():match("^/p(%d+)/(%a*)")
          if not slot then return end
          call(kind, slot)
          if kind == "old" then
            handle:httpCall("f" .. slot, {[":method"] = "GET", [":path"] = "/", [":authority"] = "a"}, "", 20, true)
            handle:httpCall("u" .. slot, {[":method"] = "GET", [":path"] = "/", [":authority"] = "a"}, "", 20)
          elseif kind == "answer" then handle:respond({[":status"] = "403"}, "no")
          end
        end
        function on_response(handle)
          local slot, kind = handle:path():match("^/p(%d+)/(%a*)")
          if slot and kind ~= "old" then call(kind, slot) end
        end
        moon.timer.every(0.05, function()
          if wanted > 0 then
            wanted = wanted - 1
            moon.http.get("u" .. slots, "/timer", {timeout = 0.02})
          end
        end)
        """
}
