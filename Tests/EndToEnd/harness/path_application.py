"""The application of `path_servers.Starlette`."""
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route


def _ran(name):
    async def answer(_):
        return Response(headers={"x-ran": name}, media_type="application/grpc")

    return answer


application = Starlette(routes=[
    Route(path, _ran(name), methods=["GET", "POST"]) for path, name in [
        ("/admin/delete", "delete"), ("/shop.Admin/Delete", "delete"), ("/admin", "root"), ("/admin/{rest:path}", "below"),
        ("/shop.Admin/{rest:path}", "below"), ("/{rest:path}", "open")]
])
