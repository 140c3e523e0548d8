"""Rules about the code that can be tests: layers, no state at import, sizes, names, the public API."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import types
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import NamedTuple

import hostler
import hostler_plugins
import pytest
from child_environment import without_coverage

FRAMEWORK = Path(hostler.__file__).parent
PLUGINS = Path(hostler_plugins.__file__).parent
SOURCES = sorted([*FRAMEWORK.rglob("*.py"), *PLUGINS.rglob("*.py")])

LONGEST_FILE = 330
LONGEST_FUNCTION = 30

# The packages from the ground up. Each imports what stands on a line above its own, never the reverse;
# packages of one line know nothing of each other.
FLOORS = (
    "concurrency files imports text version",
    "errors secrets",
    "model",
    "events process",
    "hooks launching records",
    "plugins",
    "config runtime",
    "engine",
    "supervisor",
    "control sync",
    "client testing",
    "cli",
)
# Beside hostler's public names these use only these packages.
PUBLIC_ONLY = {"control": {"control"}, "client": {"client", "control", "imports"}}
RANKS = {part: rank for rank, line in enumerate(FLOORS) for part in line.split()}


class Import(NamedTuple):
    """One import statement's module, and whether it is run (not only read by a type checker)."""

    module: str
    names: tuple[str, ...]
    line: int
    runs: bool


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


@pytest.fixture(scope="module", autouse=True)
def no_tree_stays() -> Iterator[None]:
    yield
    tree_of.cache_clear()
    imports_of.cache_clear()


@cache
def imports_of(path: Path) -> list[Import]:
    found: list[Import] = []

    def visit(node: ast.AST, runs: bool) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            runs = False

        if isinstance(node, ast.Import):
            found.extend(Import(alias.name, (), node.lineno, runs) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: a relative import"
            names = tuple(alias.name for alias in node.names)
            found.append(Import(node.module or "", names, node.lineno, runs))

        for child in ast.iter_child_nodes(node):
            visit(child, runs)

    visit(tree_of(path), True)
    return found


def part_of(path: Path) -> str:
    relative = path.relative_to(FRAMEWORK)
    return relative.parts[0].removesuffix(".py")


def where(path: Path, line: int) -> str:
    root = FRAMEWORK if FRAMEWORK in path.parents else PLUGINS
    return f"{path.relative_to(root.parent)}:{line}"


def test_every_part_of_the_framework_has_its_layer() -> None:
    parts = {part_of(path) for path in FRAMEWORK.rglob("*.py")} - {"__init__", "__main__"}
    assert parts == set(RANKS)


def test_the_page_of_the_architecture_has_every_part_on_its_floor() -> None:
    page = Path(__file__).parents[2] / "docs" / "architecture.md"
    rows = re.findall(r"^\| (\d+) \| `(\w+)", page.read_text(), re.MULTILINE)
    assert {name: int(floor) for floor, name in rows} == {
        part: rank + 1 for part, rank in RANKS.items() if part != "version"
    }


def parts_imported(found: Import) -> list[str]:
    """The parts of the framework that an import reaches; `from hostler import x` may name a part."""
    first, *rest = found.module.split(".")
    if first != "hostler":
        return []
    return [rest[0]] if rest else [name if name in RANKS else "__init__" for name in found.names or ("",)]


def test_every_part_imports_only_what_is_below_it() -> None:
    wrong = []

    for path in FRAMEWORK.rglob("*.py"):
        own = part_of(path)
        if own in {"__init__", "__main__"}:
            continue  # the public names: a lazy table; the command, run as a module
        for found in imports_of(path):
            public = own in PUBLIC_ONLY  # which knows nothing else, as the next test holds
            others = [o for o in parts_imported(found) if o != own and not (public and o == "__init__")]
            high = [other for other in others if RANKS.get(other, len(FLOORS)) >= RANKS[own]]
            wrong += [f"{where(path, found.line)}: {own} imports {other}" for other in high]

    assert wrong == []


@pytest.mark.parametrize("package", PUBLIC_ONLY)
def test_the_control_api_and_its_client_are_programs_on_the_public_names(package: str) -> None:
    """As the floors say, nothing below the command line imports them."""
    wrong = [
        f"{where(path, found.line)}: {found.module}: {found.names}"
        for path in (FRAMEWORK / package).rglob("*.py")
        for found in imports_of(path)
        if (found.module == "hostler" and not set(found.names) <= set(hostler.__all__))
        or (found.module.startswith("hostler.") and found.module.split(".")[1] not in PUBLIC_ONLY[package])
    ]
    assert wrong == []


def test_the_framework_knows_no_plugin() -> None:
    found = [i for path in FRAMEWORK.rglob("*.py") for i in imports_of(path) if "hostler_plugins" in i.module]
    assert found == []


def owner_of(module: str) -> str:
    """The plugin that a module of hostler_plugins belongs to; "" for what several share."""
    names = sorted(point.value.split(":")[0].split(".")[1] for point in entry_points(group="hostler.plugins"))
    return next((name for name in names if module == name or module.startswith(f"{name}_")), "")


def test_a_plugin_imports_public_names_only_and_no_other_plugin() -> None:
    wrong = []

    for path in PLUGINS.rglob("*.py"):
        own = owner_of(path.relative_to(PLUGINS).parts[0].removesuffix(".py"))
        for found in imports_of(path):
            package, _, module = found.module.partition(".")
            if package == "hostler" and (module or not set(found.names) <= set(hostler.__all__)):
                wrong.append(f"{where(path, found.line)}: {found.module}: {found.names}")
            if package == "hostler_plugins":
                others = [module.split(".")[0]] if module else found.names
                wrong += [
                    f"{where(path, found.line)}: {other}"
                    for other in others
                    if owner_of(other) not in {own, ""}
                ]

    assert wrong == []


# -- nothing at import -----------------------------------------------------------------------------

ENGINE = ("pluggy", "anyio", "asyncio", "msgspec", "hostler.events.events")
HEAVY = (*ENGINE, "aiohttp", "rich", "psutil", "click", "hmac", "html", "prometheus_client", "textual")


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ("import hostler", ()),
        ("import hostler.cli", ()),
        ("from hostler import Supervisor", ENGINE),
        ("from hostler import ServerSpec, hookimpl", ("pluggy",)),
        ("import hostler.cli.check, hostler.cli.explain", ("pluggy", "msgspec")),
        ("import hostler.cli.top", ("click",)),
        ("import hostler.cli.run, hostler.cli.run_session", ENGINE),
        (
            "import hostler.control.api, hostler.control.http_server",
            tuple({*HEAVY} - {"prometheus_client", "click", "rich", "textual"}),
        ),
    ],
)
def test_an_import_pays_only_for_what_it_names(statement: str, allowed: tuple[str, ...]) -> None:
    code = f"import sys; {statement}; print(*sorted(set(sys.modules) & {set(HEAVY)!r}))"
    env = without_coverage()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert set(done.stdout.split()) <= set(allowed)


MUTABLE = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
CHANGING = {"append", "add", "update", "pop", "clear", "extend", "remove", "discard", "setdefault", "insert"}
COLLECTIONS = {"dict", "list", "set", "deque", "defaultdict"}


def module_values(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                yield name, value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                yield name, value


def written_to(tree: ast.Module) -> set[str]:
    """The names on which a method is called that changes them, or whose items are assigned."""
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=name), attr=method) if method in CHANGING:
                found.add(name)
            case ast.Subscript(value=ast.Name(id=name), ctx=ast.Store() | ast.Del()):
                found.add(name)
    return found


def state_of(path: Path) -> list[str]:
    tree = tree_of(path)
    wrong = [where(path, node.lineno) for node in ast.walk(tree) if isinstance(node, ast.Global)]
    written = written_to(tree)

    for name, value in module_values(tree):
        constant = name.isupper() or name == "__all__"
        made = isinstance(value, ast.Call) and ast.unparse(value.func) in COLLECTIONS
        if made or (isinstance(value, MUTABLE) and (name in written or not constant)):
            wrong.append(f"{where(path, value.lineno)}: {name} can be changed")

    return wrong


def test_no_module_holds_state() -> None:
    """Constants in capitals and tables that nobody writes to are no state."""
    assert [found for path in SOURCES for found in state_of(path)] == []


# -- one owner for what changes --------------------------------------------------------------------

# Whose attributes others assign, by the name that they have there, and why.
ASSIGNED_ELSEWHERE = {
    "launch": "a Launch is there to be edited, by us and by plugins, until its process is spawned",
    "command": "a Launch, too: that of one command",
    "sys": "Python's own",
    "error": "Python's own: what an exception came from",
    "kind": "Python's own: the class that a decorator completes",
    "method": "Python's own: a function that was generated",
    "child": "Python's own: what Popen has not seen of an exit",
    "weakref": "Python's own",
}


def assigned_elsewhere(path: Path) -> Iterator[str]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
            owner = ast.unparse(node.value)
            if owner not in {"self", "cls"} and re.split(r"\W", owner)[0] not in ASSIGNED_ELSEWHERE:
                yield f"{where(path, node.lineno)}: {ast.unparse(node)}: give its class a method that does it"


def test_an_attribute_is_assigned_by_its_own_object_only() -> None:
    """`hostler.testing` is left out: a simulation arranges what it simulates."""
    paths = [path for path in FRAMEWORK.rglob("*.py") if part_of(path) != "testing"]
    assert [found for path in paths for found in assigned_elsewhere(path)] == []


# -- anyio and plain callbacks ---------------------------------------------------------------------

# `anyio.Event` can be made anywhere; the scope of a life is made by `_begin`, which only tasks call.
ANYWHERE = {"Event", "EndOfStream", "WouldBlock"}
CALLED_BY_TASKS = {("registry.py", "CancelScope")}


def anyio_in_plain_functions(path: Path) -> list[str]:
    wrong: list[str] = []

    def visit(node: ast.AST, in_task: bool, notes: bool) -> None:
        match node:
            case ast.AsyncFunctionDef():
                in_task = True
            case ast.FunctionDef() | ast.Lambda():
                in_task = False
            case ast.Attribute(value=ast.Name(id="anyio"), attr=name) if not in_task and not notes:
                if name not in ANYWHERE and (path.name, name) not in CALLED_BY_TASKS:
                    wrong.append(f"{where(path, node.lineno)}: anyio.{name}")

        for field, child in (
            (f, c) for f, v in ast.iter_fields(node) for c in (v if isinstance(v, list) else [v])
        ):
            if isinstance(child, ast.AST):
                visit(child, in_task, field in ("annotation", "returns") or notes)

    visit(tree_of(path), False, False)
    return wrong


def test_no_plain_function_asks_anyio_which_knows_its_loop_only_in_a_task() -> None:
    assert [found for path in SOURCES for found in anyio_in_plain_functions(path)] == []


OTHER_USER = {"user", "group", "extra_groups", "preexec_fn", "**_identity(prefix.account)"}


def test_what_is_started_as_another_user_gets_a_session_of_its_own() -> None:
    """In our session it could type at our terminal (TIOCSTI), as whoever has its user can take it over."""
    found = [
        (path.name, {word.arg or f"**{ast.unparse(word.value)}": word.value for word in node.keywords})
        for path in SOURCES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).startswith(("subprocess.", "asyncio.create_subprocess", "anyio.", "popen"))
    ]
    asked = [(name, words) for name, words in found if OTHER_USER & words.keys()]
    assert sorted(name for name, _ in asked) == ["run_as.py", "spawn.py"]
    assert all(ast.unparse(words["start_new_session"]) == "True" for _, words in asked)


def test_the_clock_is_asked_in_one_place() -> None:
    clocks = ("anyio.current_time", "asyncio.get_running_loop().time", "loop.time")
    asked = [
        where(path, node.lineno)
        for path in FRAMEWORK.rglob("*.py")
        if path.name != "event_loop.py"
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in clocks
    ]
    assert asked == []


# -- sizes and names -------------------------------------------------------------------------------


def too_long(path: Path) -> list[str]:
    tree = tree_of(path)
    count = len(path.read_text().splitlines())
    long = [f"{where(path, 1)}: {count} lines"] if count > LONGEST_FILE else []

    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - body_start(node) + 1
            if length > LONGEST_FUNCTION:
                long.append(f"{where(path, node.lineno)}: {node.name} has {length} lines")

    return long


def test_no_file_and_no_function_is_long() -> None:
    assert [found for path in SOURCES for found in too_long(path)] == []


def body_start(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The line where the body begins: signature and docstring are a contract, not code."""
    first = node.body[0]
    has_docstring = ast.get_docstring(node) is not None and len(node.body) > 1
    return node.body[1].lineno if has_docstring else first.lineno


def test_names_say_what_a_thing_does() -> None:
    files = {"utils", "util", "helpers", "helper", "common", "misc", "base"}
    assert [where(path, 1) for path in SOURCES if path.stem in files] == []
    bad = ("Manager", "Helper", "Util", "Utils", "Handler", "Base")
    assert [
        where(path, node.lineno)
        for path in SOURCES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ClassDef) and node.name.endswith(bad)
    ] == []


# -- the public API ----------------------------------------------------------------------------------


def test_the_public_names_are_sorted_and_each_can_be_imported() -> None:
    names = hostler.__all__
    order = sorted(names, key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    assert names == order
    assert len(set(names)) == len(names)
    assert all(getattr(hostler, name) is not None for name in names)


def test_each_public_name_comes_from_where_type_checkers_look() -> None:
    checked = {n: i.module for i in imports_of(FRAMEWORK / "__init__.py") if not i.runs for n in i.names}
    assert set(checked) == set(hostler.__all__)
    for name, module in checked.items():
        assert getattr(hostler, name) is getattr(import_module(module), name)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        hostler.nothing  # noqa: B018


def test_every_public_class_and_function_says_what_it_does() -> None:
    things = {name: getattr(hostler, name) for name in hostler.__all__}
    kinds = (type, types.FunctionType)
    told = {name: thing for name, thing in things.items() if isinstance(thing, kinds)}
    assert [name for name, thing in told.items() if not (thing.__doc__ or "").strip()] == []
    assert len(told) > 40
