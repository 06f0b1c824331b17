"""Python classes of the protos, generated at the first run and whenever a proto changes."""
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROTOS = [*sorted((ROOT / "protos").glob("*.proto")), ROOT.parents[1] / "examples" / "quickstart" / "helloworld.proto"]
GENERATED = ROOT / "generated"


def _outdated():
    for proto in PROTOS:
        made = GENERATED / f"{proto.stem}_pb2_grpc.py"
        if not made.exists() or made.stat().st_mtime < proto.stat().st_mtime:
            return True
    return False


def _generate():
    from grpc_tools import protoc

    GENERATED.mkdir(exist_ok=True)
    arguments = ["protoc", f"--python_out={GENERATED}", f"--grpc_python_out={GENERATED}"]
    arguments += [f"-I{proto.parent}" for proto in PROTOS] + [str(proto) for proto in PROTOS]
    if protoc.main(arguments) != 0:
        raise RuntimeError("protoc failed")


if _outdated():
    _generate()
sys.path.insert(0, str(GENERATED))

import helloworld_pb2  # noqa: E402
import helloworld_pb2_grpc  # noqa: E402
import probe_pb2  # noqa: E402
import probe_pb2_grpc  # noqa: E402

Order = probe_pb2.Order
Pair = probe_pb2.Pair
Report = probe_pb2.Report
HelloRequest = helloworld_pb2.HelloRequest
HelloReply = helloworld_pb2.HelloReply

__all__ = [
    "HelloReply", "HelloRequest", "Order", "Pair", "Report",
    "helloworld_pb2", "helloworld_pb2_grpc", "probe_pb2", "probe_pb2_grpc",
]
