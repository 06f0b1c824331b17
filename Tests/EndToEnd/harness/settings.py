"""Configurations, written as Python values. JSON is YAML, so that is what goes into the file."""
import json
import os


def route(upstream="main", name="all", **more):
    """A route; without `match` it takes every request."""
    return {"name": name, "upstream": upstream, **more}


def configuration(upstream=None, routes=None, listeners=None, upstreams=None, **more):
    """A configuration with one cleartext listener `main`, an admin listener and quick draining.

    `upstream`: address of the one endpoint of the upstream `main`; `upstreams`: further ones by name, each a list of
    addresses or a whole setting.
    """
    named = {name: {"endpoints": value} if isinstance(value, list) else value
             for name, value in (upstreams or {}).items()}
    if upstream:
        named["main"] = {"endpoints": [upstream]}
    if os.environ.get("MOONGATE_SANITIZER") == "thread":
        # Everything takes ten times as long there.
        more["policies"] = {"time_limit": "1s", **more.get("policies", {})}
    return {
        "workers": 1,
        "listeners": listeners or [{"name": "main", "address": "127.0.0.1:0"}],
        "upstreams": named,
        "routes": routes if routes is not None else [route()],
        "admin": {"address": "127.0.0.1:0"},
        "drain": {"delay": "0s", "grace": "5s"},
        **more,
    }


def text(value):
    """What goes into the file."""
    return value if isinstance(value, str) else json.dumps(value, indent=2) + "\n"
