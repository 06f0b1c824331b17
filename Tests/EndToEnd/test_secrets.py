"""What is secret appears in no log and on no admin page."""
import grpc
import pytest

from harness.settings import configuration, route
from harness.waiting import eventually

AUTHORIZATION, COOKIE, PASSWORD = "Basic c2VjcmV0LWJhc2lj", "session=secret-cookie", "secret-password"
METADATA = [("authorization", AUTHORIZATION), ("cookie", COOKIE), ("username", "ada"), ("password", PASSWORD),
            ("x-api-key", "secret-api-key"), ("proxy-authorization", "Bearer secret-bearer")]
SECRETS = ["c2VjcmV0LWJhc2lj", "secret-cookie", PASSWORD, "secret-api-key", "secret-bearer", "secret-of-the-file"]
HASH = "$2b$04$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234"

KEEPS = """
local key = require("moon").secret("session-key")
function on_request(handle)
  local password = handle:headers():get("password")
  if handle:headers():get("x-fail") then error("no such thing") end
  if handle:headers():get("x-nil") then local nothing = nil; handle:headers():add("x-a", nothing.field .. key .. password) end
end
"""


def test_secrets_are_in_no_log_and_on_no_page(moongate, backend, client, tmp_path):
    access = tmp_path / "access.log"
    policies = [{"header-auth": {"users": "users.yaml"}}]
    routes = [route(name="guarded", match={"headers": [{"name": "x-guarded", "present": True}]}, policies=policies),
              route(policies=[{"policy": "policies/keeps.lua"}])]
    proxy = moongate(
        configuration(backend.address, routes=routes, access_log={"path": str(access)},
                      secrets={"session-key": {"file": "session-key"}}),
        policies={"keeps.lua": KEEPS},
        files={"session-key": "secret-of-the-file\n", "users.yaml": f'ada: {{password: "{HASH}", allow: ["*"]}}\n'})
    caller = client(proxy.address)
    for more, is_fine in (([], True), ([("x-fail", "1")], False), ([("x-nil", "1")], False),
                          ([("x-guarded", "1")], False)):
        if is_fine:
            caller.unary(metadata=METADATA + more, timeout=20)
            continue
        with pytest.raises(grpc.RpcError):
            caller.unary(metadata=METADATA + more, timeout=20)
    proxy.write("users.yaml", f'ada: {{password: "{HASH}x", allow: ["*"]}}\n')
    eventually(lambda: proxy.failed_reloads() > 0, 10, what="the reload is refused")
    eventually(lambda: access.exists() and len(access.read_text().splitlines()) == 4, 10, what="4 lines")
    pages = [proxy.get(page)[1] for page in ("/metrics", "/policies", "/policies?format=text", "/generations",
                                             "/upstreams", "/explain?host=a&path=/b")]
    for said in [proxy.output(), access.read_text(), *pages]:
        assert "no such thing" in proxy.output()
        for secret in [*SECRETS, HASH]:
            assert secret not in said, said
