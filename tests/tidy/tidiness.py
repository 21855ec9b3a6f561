"""How the code is written: sizes, comments, waits and errors."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.tidy.source import Module, modules

MODULE_LINES_MAX = 450
FUNCTION_LINES_MAX = 70
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
BANNER = re.compile(r"#\s*[-=*#~_]{3,}|#.*[-=*#~_]{4,}\s*$")
# A sleep waits for nothing. These wait for an interval that is itself the purpose, or for what tells nobody.
SLEEPS: Mapping[str, str] = {
    "actors/supervisor.py": "the interval between two pings",
    "gateway/changes.py": "the pause before a bus that failed is listened to again",
    "gateway/micro_batch.py": "the linger in which questions gather into a batch",
    "gateway/ledger.py": "the linger in which repeats gather into one entry",
    "gateway/rebuilding.py": "the interval between two looks at a build of another process",
    "gateway/serve.py": "the HTTP server says that it listens by a flag alone",
    "gateway/intake_host.py": "the interval at which the server hears that a batch is still worked on",
    "gateway/lanes.py": "the interval at which the server hears that messages still wait",
    "gateway/loading.py": "the pause that a busy gateway asks for before a document is sent again",
    "gateway/prober.py": "the interval between two probes, and between two looks at what is to become visible",
    "gateway/spool.py": "the pause before a stream that refused is tried again",
    "gateway/watch.py": "the interval between two looks at the node",
    "gateway/nats_server.py": "the interval between two looks at another program and at the file with its port",
    "simulations/bench_ask_changing.py": "the ticks of a steady stream",
    "simulations/bench_ask_curve.py": "how long it is asked",
    "simulations/bench_ingest.py": "the ticks of a steady stream, and the interval between two looks at a consumer",
    "simulations/bench_mixed.py": "the ticks of a steady stream, and the interval between two looks at the metrics",
    "simulations/bench_promotion.py": "how long it is asked without a build, and the interval between two looks at one",
    "simulations/bench_tenants.py": "how long it is asked",
    "simulations/chaos/activities.py": "the pauses that an experiment asks for around an activity",
    "simulations/chaos/control_groups.py": "the interval between two looks at a process that is ending",
    "simulations/chaos/faults_resource.py": "the turns in which a process is stopped and let go on",
    "simulations/chaos/inject.py": "how long a fault is held",
    "simulations/chaos/injection.py": "the interval between two looks at whether a fault has bitten",
    "simulations/chaos/invariants.py": "the interval of looking at the lag",
    "simulations/chaos/load.py": "the pace of who sends and asks, and the pause of a provider before it sends again",
    "simulations/chaos/proxy.py": "how long a piece is under way",
    "simulations/chaos/target.py": "the pause of a service manager before it starts a service again",
    "simulations/chaos/trial.py": "the interval between two looks at a node that suffers",
    "simulations/chaos/undo.py": "the interval between two looks at processes that are ending",
    "simulations/incident_detection.py": "the interval between two looks at the node",
    "simulations/incident_phases.py": "the interval between two looks at a condition of other processes",
    "simulations/incident_world.py": "the tick of a world in which people ask and pay at their own pace",
    "simulations/client.py": "the pause of a provider before it sends again, and the interval of looking at the lag",
    "simulations/steady_load.py": "the ticks of a steady stream",
    "simulations/world.py": "virtual time: the tick of the world, of which no wall clock knows",
    "simulations/world_bus.py": "virtual time: how long a message is on its way",
    "simulations/world_customers.py": "virtual time: the pauses of those who ask",
    "simulations/world_effects.py": "virtual time: the pause of a runner, and how long a call takes",
    "simulations/world_hosts.py": "virtual time: the pause of a corrector, and how long nobody answers",
    "simulations/world_knowledge.py": "virtual time: the pause of a projector",
    "simulations/world_merchants.py": "virtual time: the pauses of those who pay, and of who resolves",
    "simulations/world_people.py": "virtual time: the pauses of those who send, ask and write",
    "tests/gateway/http/test_webhooks.py": "the interval between two looks at the spool",
    "tests/gateway/test_spool.py": "the interval between two looks at the spool, and the pace of who sends",
    "tests/gateway/test_lanes.py": "the time that a batch takes, and the interval between two looks at the server",
    "tests/simulations/chaos/test_undo.py": "the interval between two looks at another process",
    "tests/simulations/test_virtual_loop.py": "virtual time: what is tested is how it passes",
    "tests/stack/provider.py": "the pause of a provider before it sends again",
    "tests/actors/test_supervisor.py": "a supervisor tells nobody, least of all that it does nothing any more",
    "tests/stack/test_scaling.py": "the pace of a tenant that sends little, and the interval of looking at two intakes",
    "tests/stack/test_promotion.py": "the pace of whoever asks steadily, before a build and after its switch",
    "tests/stack/test_fairness.py": "the pace of a tenant that sends steadily",
    "tests/stack/stack.py": "the interval between two looks at a condition of another process",
}


def complaints(root: Path, sleeps: Mapping[str, str] = SLEEPS) -> list[str]:
    """What is untidy below `root`."""
    found: list[str] = []
    slept = set()
    for module in modules(root):
        found.extend(_sizes(module))
        found.extend(_comments(module))
        found.extend(_swallowed(module))
        for node in _sleeps(module):
            slept.add(module.path)
            if module.path not in sleeps:
                found.append(
                    module.at(node, "sleep: wait for a condition, or give the reason in tests/tidy/tidiness.py")
                )
    found.extend(f"{path}: does not sleep any more; take it from SLEEPS" for path in sleeps if path not in slept)
    return found


def _sizes(module: Module) -> Iterator[str]:
    lines = module.text.count("\n")
    if lines > MODULE_LINES_MAX:
        yield module.at(module.tree, f"{lines} lines, more than {MODULE_LINES_MAX}: it holds two ideas")
    if not ast.get_docstring(module.tree):
        yield module.at(module.tree, "no docstring: say what lives here")
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES_MAX:
                yield module.at(node, f"{node.name} has {length} lines, more than {FUNCTION_LINES_MAX}")


def _comments(module: Module) -> Iterator[str]:
    for token in tokenize.generate_tokens(io.StringIO(module.text).readline):
        if token.type != tokenize.COMMENT:
            continue
        if UNFINISHED.search(token.string):
            yield f"{module.path}:{token.start[0]}: unfinished: do it, or open an issue"
        if BANNER.match(token.string):
            yield f"{module.path}:{token.start[0]}: banner: a module that needs one holds two ideas"
    for node in ast.walk(module.tree):
        match node:
            case ast.Module() | ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                if UNFINISHED.search(ast.get_docstring(node) or ""):
                    yield module.at(node, "unfinished: do it, or open an issue")


def _swallowed(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        match node:
            case ast.ExceptHandler(type=None | ast.Name(id="Exception" | "BaseException"), body=body):
                if all(isinstance(each, ast.Pass | ast.Continue) or _is_ellipsis(each) for each in body):
                    yield module.at(node, "an error of any kind is swallowed: catch what you expect")
            case ast.Call(
                func=ast.Name(id="suppress") | ast.Attribute(attr="suppress"),
                args=[ast.Name(id="Exception" | "BaseException"), *_],
            ):
                yield module.at(node, "an error of any kind is swallowed: suppress what you expect")


def _is_ellipsis(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and getattr(statement.value, "value", None) is ...


def _sleeps(module: Module) -> Iterator[ast.AST]:
    """Calls of `time.sleep` and `asyncio.sleep`, except `sleep(0)`, which only lets others run."""
    for node in ast.walk(module.tree):
        match node:
            case ast.Call(args=[ast.Constant(value=0)]):
                pass
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="time" | "asyncio"), attr="sleep") | ast.Name(id="sleep")
            ):
                yield node
