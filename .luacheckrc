-- The policies' dialect: Lua 5.4 with the hooks as the only globals that a file may set.
std = "lua54"
max_line_length = 120
files["policies"] = { globals = { "on_init", "on_request", "on_response", "on_grpc_message", "on_log", "on_close" } }
files["examples"] = {
  globals = {
    "on_init", "on_request", "on_response", "on_grpc_message", "on_log", "on_close", "envoy_on_request",
    "envoy_on_response",
  },
}
files["**/*_spec.lua"] = {
  read_globals = {
    "describe", "it", "skip", "before_each", "after_each", "expect", "fail", "load_policy", "load_policies",
    "clock", "hash_password", "http", "logs", "moon",
  },
}
