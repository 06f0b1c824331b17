"""Whether a proxy answers right. What is wrong is not worth measuring."""
import re
import subprocess

from measure import AUTHORITY, HOST, PASSWORD, credentials
from processes import Backend, Failed, Proxy, message
from scenarios import SIZES


def check(peer, scenario, work, cores):
    """Raises `Failed`. The backend is one that tells what it is asked."""
    with Backend(work, cores[1], talks=True) as backend, \
            Proxy(peer, scenario, work, backend.port, cores[0]) as proxy:
        guarded = peer.guarded(scenario)
        said = ask(proxy, work, PASSWORD if guarded else None)
        if said != ("200", "0", SIZES[scenario.path]):
            raise Failed("answers with status {}, grpc-status {} and {} octets".format(*said) + ": " + proxy.last_words())
        if not guarded:
            return
        wanted = authorities(backend)
        if wanted != [HOST]:
            raise Failed(f"does not take the port away: the backend was asked for {wanted}")
        for password in ("wrong", None):
            status, grpc, _ = ask(proxy, work, password)
            if status != "401" and grpc != "16":
                raise Failed(f"answers a wrong password with status {status}, grpc-status {grpc}")
        if authorities(backend) != wanted:
            raise Failed("lets a call with a wrong password through to the backend")


def authorities(backend):
    """What the backend was asked for, call by call."""
    return re.findall(r"recv \(stream_id=\d+\) (?::authority|host): (\S+)", backend.log.read_text(errors="replace"))


def ask(proxy, work, password):
    """One call: HTTP status, grpc-status, octets of body."""
    body = work / "question"
    body.write_bytes(message(69, b"q"))
    fields = [f":authority: {AUTHORITY}", "content-type: application/grpc", "te: trailers", *credentials(password)]
    argv = ["nghttp", "-nv", "-t", "5", "-d", body, *(part for field in fields for part in ("-H", field)),
            f"{'https' if proxy.scenario.tls else 'http'}://127.0.0.1:{proxy.port}{proxy.scenario.path}"]
    try:
        text = subprocess.run(argv, capture_output=True, timeout=20).stdout.decode("latin-1")
    except subprocess.TimeoutExpired:
        raise Failed("does not answer") from None
    found = dict(re.findall(r"recv \(stream_id=\d+\) (:status|grpc-status): (\d+)", text))
    octets = sum(map(int, re.findall(r"recv DATA frame <length=(\d+)", text)))
    return found.get(":status"), found.get("grpc-status"), octets
