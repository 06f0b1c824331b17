"""A backend in C for load tests: nghttpd answers every POST with a small gRPC message and a trailer."""
from .frames import message
from .ports import free_port
from .process import ManagedProcess
from .waiting import eventually

PATH = "/bench.Echo/Unary.grpc"


class FastBackend(ManagedProcess):
    def __init__(self, folder, payload=64, cpus=None):
        root = folder / "htdocs"
        (root / "bench.Echo").mkdir(parents=True, exist_ok=True)
        (root / PATH.lstrip("/")).write_bytes(message(b"a" * payload))
        types = folder / "mime.types"
        types.write_text("application/grpc grpc\n")
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        super().__init__(
            ["nghttpd", "-a", "127.0.0.1", "-d", root, "-m", "1000", "--trailer", "grpc-status: 0",
             "--no-content-length", "--mime-types-file", types, "--no-tls", self.port], cpus=cpus)
        eventually(self._listening, 5, what="nghttpd listens")

    def _listening(self):
        wanted = f"0100007F:{self.port:04X}"
        with open("/proc/net/tcp", encoding="ascii") as file:
            return any(line.split()[1] == wanted and line.split()[3] == "0A" for line in file.readlines()[1:])
