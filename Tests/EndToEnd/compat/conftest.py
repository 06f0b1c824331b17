"""One Envoy and one Moongate for all tests of this folder."""
import pytest

from harness.compat import Both, World, case_of


@pytest.fixture(scope="session")
def world(request, tmp_path_factory):
    cases = {}
    for item in request.session.items:
        case = case_of(item, len(cases))
        if case:
            item.compat_case = cases[item.nodeid] = case
    made = World(tmp_path_factory.mktemp("compat"), list(cases.values()))
    yield made
    made.close()


@pytest.fixture
def both(request, world):
    """Envoy and Moongate with the scripts of this test."""
    request.node.proxies = [edge.process for edge in world.edges]
    for edge in world.edges:
        edge.begin(request.node.compat_case)
    made = Both(world.edges, [mark.args[0] for mark in request.node.iter_markers("differs")])
    yield made
    for edge in world.edges:
        edge.end()
        assert edge.process.running(), f"{edge.name} has ended:\n" + "\n".join(edge.process.lines[-60:])
    assert made.went_apart or not made.differences, "marked as different, and nothing is"
