"""A backend with grpc.health.v1, and what the proxy says about the health of its endpoints."""
import json

from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from .backend import Backend

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class HealthBackend(Backend):
    """A server whose health can be set: `health.set("", SERVING)`."""

    def __init__(self, *arguments, statuses=None, **options):
        self.health = _Servicer()
        for service, status in (statuses or {"": SERVING}).items():
            self.health.set(service, status)
        super().__init__(*arguments, **options)

    def start(self):
        super().start()
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self.server)
        return self

    @property
    def checks(self):
        """The checks that came, as metadata."""
        return self.health.seen


class _Servicer(health.HealthServicer):
    def __init__(self):
        super().__init__()
        self.seen = []

    def Check(self, request, context):
        self.seen.append(dict(context.invocation_metadata()))
        return super().Check(request, context)


def states(proxy, upstream="main"):
    """The state of each endpoint by its address."""
    return {endpoint["address"]: endpoint["state"] for endpoint in endpoints(proxy, upstream)}


def endpoints(proxy, upstream="main"):
    status, text = proxy.get("/upstreams")
    assert status == 200, text
    return next(entry for entry in json.loads(text)["upstreams"] if entry["name"] == upstream)["endpoints"]
