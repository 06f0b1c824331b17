"""Real servers that tell by the header `x-ran` what they take a path for: `delete`, `below`, `root` or `open`.

`/admin/delete` and `/shop.Admin/Delete` are `delete`, other paths below `/admin/` and `/shop.Admin/` are `below`, `/admin` is `root`.
"""
import concurrent.futures
import importlib.util
import pathlib
import shutil
import sys

import grpc

from .ports import connects, free_port
from .process import ManagedProcess
from .waiting import eventually

_FOLDER = pathlib.Path(__file__).resolve().parents[1]

_NGINX = """
daemon off; master_process off; pid nginx.pid; error_log stderr warn;
events {{ worker_connections 256; }}
http {{
  access_log off; default_type application/grpc; merge_slashes on;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server {{
    listen 127.0.0.1:{port} http2;
    location = /admin {{ add_header x-ran root; return 200; }}
    location /admin/ {{ add_header x-ran below; return 200; }}
    location /shop.Admin/ {{ add_header x-ran below; return 200; }}
    location = /admin/delete {{ add_header x-ran delete; return 200; }}
    location = /shop.Admin/Delete {{ add_header x-ran delete; return 200; }}
    location / {{ add_header x-ran open; return 200; }}
  }}
}}
"""


class Nginx(ManagedProcess):
    # A spelling that it takes for /admin/delete.
    understood = "/public/..//%61dmin/delete"

    def __init__(self, folder):
        folder.mkdir()
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        (folder / "nginx.conf").write_text(_NGINX.format(port=port), encoding="utf-8")
        super().__init__([shutil.which("nginx"), "-p", folder, "-c", folder / "nginx.conf"], cwd=folder)
        eventually(lambda: connects(self.address), 20, what="nginx listens")

    @staticmethod
    def is_there():
        return shutil.which("nginx") is not None


class Starlette(ManagedProcess):
    """Starlette under Hypercorn, which decodes paths before Starlette routes by them."""
    understood = "/%61dmin%2fdelete"

    def __init__(self, folder):
        folder.mkdir()
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        super().__init__(
            [sys.executable, "-m", "hypercorn", "--bind", self.address, "harness.path_application:application"], cwd=_FOLDER)
        eventually(lambda: connects(self.address), 20, what="hypercorn listens")

    @staticmethod
    def is_there():
        return all(importlib.util.find_spec(name) for name in ("starlette", "hypercorn"))


class _Handler(grpc.GenericRpcHandler):
    def service(self, call):
        ran = "open"
        if call.method in ("/shop.Admin/Delete", "/admin/delete"):
            ran = "delete"
        elif call.method.startswith(("/shop.Admin/", "/admin/")):
            ran = "below"

        def answer(request, context):
            context.send_initial_metadata([("x-ran", ran)])
            return b""

        return grpc.unary_unary_rpc_method_handler(answer)


class Grpcio:
    understood = "/shop.Admin/Delete"

    def __init__(self, _):
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
        self.server.add_generic_rpc_handlers([_Handler()])
        self.address = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()

    def stop(self):
        self.server.stop(None)

    @staticmethod
    def is_there():
        return True


SERVERS = [Starlette, Grpcio, Nginx]
