"""Pieces of Lua that several scripts of the tests begin with."""

# `failure(f, …)`: the text of the error that `f(…)` raises, without its position; "none" if it raises none.
FAILURE = """
local function failure(f, ...)
  local ok, message = pcall(f, ...)
  if ok then return "none" end
  return (tostring(message):gsub("^.-:%d+: ", ""))
end
"""
