--- Turns everyone away while the shop is closed.
local closed = false

function on_request(handle)
  if closed then
    handle:respond({ [":status"] = "503" }, "closed, come back later")
  end
end
