"""What policies cost: nanoseconds and instructions per request, and memory over many requests. See `policy`."""
import argparse
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

# Name, what stands before the hook, what the hook does; each line's cost is that beyond the line it is compared with.
EMPTY, HEADERS = "an empty request hook", "headers()"
CASES = [
    (EMPTY, None, "", ""),
    ("an empty response hook", EMPTY, "function on_response(h) end", ""),
    (HEADERS, EMPTY, "", "local headers = h:headers()"),
    ("headers:get, there", HEADERS, "", "local headers = h:headers() local v = headers:get('x-user')"),
    ("headers:get, not there", HEADERS, "", "local headers = h:headers() local v = headers:get('x-none')"),
    ("headers:replace", HEADERS, "", "local headers = h:headers() headers:replace('x-user', 'bob')"),
    ("headers:add", HEADERS, "", "local headers = h:headers() headers:add('x-new', 'value')"),
    ("headers:remove", HEADERS, "", "local headers = h:headers() headers:remove('x-user')"),
    ("pairs(headers), 10 fields", HEADERS, "", "for name in pairs(h:headers()) do end"),
    ("ctx()", EMPTY, "", "h:ctx().user = true"),
    ("dict:get of a number", EMPTY, "local d = moon.dict('d') d:set('k', 1)", "local v = d:get('k')"),
    ("dict:get of a text", EMPTY, "local d = moon.dict('d') d:set('k', 'value')", "local v = d:get('k')"),
    ("dict:set of a text", EMPTY, "local d = moon.dict('d')", "d:set('k', 'value')"),
    ("dict:incr", EMPTY, "local d = moon.dict('d')", "d:incr('k')"),
    ("limit:take", EMPTY, "local l = moon.limit{rate = 1e8}", "l:take('k')"),
    ("counter:inc", EMPTY, "local c = moon.metrics.counter('c')", "c:inc()"),
    ("counter:inc with a label", EMPTY, "local c = moon.metrics.counter('c', '', {'a'})", "c:inc(1, {a = 'x'})"),
    ("histogram:observe", EMPTY, "local c = moon.metrics.histogram('c')", "c:observe(0.3)"),
]
# What a policy does to most requests: the text to run for the memory.
EVERYTHING = """
local moon = require "moon"
local dict = moon.dict("d", {max = 1000, ttl = 60})
local limit = moon.limit{rate = 1e8}
local calls = moon.metrics.counter("calls_total", "", {"user"})
local n = 0
function on_request(h)
  n = n + 1
  local headers = h:headers()
  headers:replace("x-user", headers:get("x-user") .. n % 5000)
  headers:add("x-path", (headers:get(":path"):gsub("^/", "")))
  h:ctx().started = n
  h:streamInfo():dynamicMetadata():set("bench", "list", {n, n + 1})
  dict:set("k" .. n % 5000, {n, "text"})
  dict:incr("n" .. n % 7)
  limit:take(headers:get("x-user"))
  calls:inc(1, {user = "u" .. n % 50})
end
function on_response(h)
  h:headers():add("x-started", h:ctx().started)
  local list = h:streamInfo():dynamicMetadata():get("bench")
end
"""


def text(before, hook):
    return f'local moon = require "moon"\n{before}\nfunction on_request(h) {hook} end\n'


def run(*command):
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout


def nanoseconds(program, script, requests, rounds):
    return statistics.median(
        float(run(program, "--script", script, "--requests", requests)) for _ in range(rounds))


def instructions(program, script, folder):
    """By two runs of different length, so that the start of the process does not count."""
    counts = []
    for requests in (2_000, 12_000):
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out", program,
                   "--script", script, "--requests", requests]
        said = subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stderr
        counts.append(int(re.search(r"Collected : (\d+)", said)[1]))
    return (counts[1] - counts[0]) / 10_000


def costs(program, options, folder):
    measured = {}
    counted = bool(shutil.which("valgrind")) and not options.no_instructions
    if counted:
        # valgrind cannot read the debugging information of Swift programs.
        plain = folder / "plain"
        shutil.copy(program, plain)
        run("strip", "-g", plain)
    print(f"{'':28}{'ns':>10}{'instructions':>15}   beyond")
    for name, base, before, hook in CASES:
        script = folder / "policy.lua"
        script.write_text(text(before, hook), encoding="utf-8")
        time = nanoseconds(program, script, options.requests, options.rounds)
        count = instructions(plain, script, folder) if counted else 0
        measured[name] = (time, count)
        base_time, base_count = measured[base] if base else (0, 0)
        shown = f"{count - base_count:15.0f}" if counted else f"{'-':>15}"
        print(f"{name:28}{time - base_time:10.0f}{shown}   {base or ''}", flush=True)


def contention(program, options, folder):
    """Two workers on the same key of a dict, as often as they can."""
    script = folder / "policy.lua"
    script.write_text(text("local d = moon.dict('d')", "d:incr('k')"), encoding="utf-8")
    for threads in (1, 2):
        said = run(program, "--script", script, "--requests", options.requests, "--threads", threads).split()
        found = int(said[1]) if len(said) > 1 else 0
        print(f"{threads} thread{'s' if threads > 1 else ''}: {float(said[0]):.0f} ns for each request, "
              f"{found} of {threads * options.requests} calls found the lock taken")
    return 0


def growth(program, options, folder):
    script = folder / "policy.lua"
    script.write_text(EVERYTHING, encoding="utf-8")
    command = [program, "--script", script, "--requests", options.growth, "--growth"]
    return subprocess.run([str(part) for part in command], check=False).returncode


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench/policy", description="Measures what policies cost.")
    parser.add_argument("--requests", type=int, default=1_000_000, help="requests of one measurement")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each line, whose median is shown")
    parser.add_argument("--no-instructions", action="store_true", help="count no instructions (callgrind)")
    parser.add_argument("--growth", type=int, metavar="REQUESTS",
                        help="run a policy that uses everything for so many requests and watch the memory")
    parser.add_argument("--contention", action="store_true", help="two threads on the same key of a shared dict")
    options = parser.parse_args()
    program = pathlib.Path(os.environ["POLICY_BENCHMARK"])
    with tempfile.TemporaryDirectory() as name:
        if options.contention:
            return contention(program, options, pathlib.Path(name))
        if options.growth:
            return growth(program, options, pathlib.Path(name))
        costs(program, options, pathlib.Path(name))
    return 0


sys.exit(main())
