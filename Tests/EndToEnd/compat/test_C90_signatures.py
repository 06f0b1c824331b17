"""`importPublicKey()` and `verifySignature()`."""
import base64

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from harness.compat import lua
from harness.lua_texts import FAILURE

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
DER = KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
DATA = b"signed text \0 with a zero"


def lua_text(octets):
    return "h:base64Decode('" + base64.b64encode(octets).decode() + "')"


@lua(FAILURE + f"""
function envoy_on_request(h)
  local headers = h:headers()
  local der, data, signature = {lua_text(DER)}, {lua_text(DATA)}, \
{lua_text(KEY.sign(DATA, padding.PKCS1v15(), hashes.SHA256()))}
  local key = h:importPublicKey(der, #der):get()
  headers:add("x-key", type(key))
  local function verify(...)
    local ok, message = h:verifySignature(...)
    headers:add("x-result", tostring(ok) .. ":" .. tostring(message))
  end
  verify("sha256", key, signature, #signature, data, #data)
  verify("SHA256", key, signature, #signature, data, #data)
  verify("sha256", key, signature, #signature, "xxxx", 4)
  verify("sha1", key, signature, #signature, data, #data)
  verify("unknown", key, signature, #signature, data, #data)
  verify("sha256", key, "short", 5, data, #data)
  headers:add("x-wrong", failure(function() verify("sha256", "no key", signature, #signature, data, #data) end))
  headers:add("x-missing", failure(function() h:importPublicKey() end))
end
""")
def test_C90_keys_and_signatures(both):
    seen = both.call().seen
    assert seen["x-key"] == "string" and seen["x-wrong"] == "invalid public key"
    no = "false:Failed to verify digest. Error code: 0"
    assert seen.headers.all("x-result") == ["true:nil", "true:nil", no, no, "false:unknown is not supported.", no]
    assert seen["x-missing"] == "bad argument #1 to 'importPublicKey' (string expected, got no value)"
