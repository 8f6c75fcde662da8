"""The layering of the house, read from the code itself."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from translate.public import PUBLIC

ROOT = Path(__file__).parents[1]
CORE = sorted((ROOT / "translate").rglob("*.py"))
PLUGINS = sorted(
    folder
    for base in ("plugins", "datasets")
    for folder in (ROOT / base).iterdir()
    if folder.name.startswith("translate_")
)

FLOORS = [
    {
        "balance",
        "columns",
        "asked_optimizers",
        "best",
        "errors",
        "inspected",
        "intervals",
        "job",
        "lists",
        "machine",
        "paths",
        "precision",
        "presets",
        "processes",
        "progress",
        "public",
        "signals",
        "stopped",
        "terminal",
        "version",
    },
    {"atomic"},
    {"lock"},
    {"notes", "outputs"},
    {"assignments", "options", "data", "sizes", "devices", "numbered"},
    {"directions", "listed", "reshaping", "taken", "traits"},
    {"ranks", "seeds", "schema", "inner_maps"},
    {"draws", "memory", "tensor_header", "step_rows"},
    {"changes", "common_options", "config_file", "exported", "foreign", "trust", "metrics_file", "growing"},
    {"embedded", "libraries"},
    {"images", "discriminator", "pool", "latent", "holes", "runtime"},
    {"adversary", "overview", "gallery", "given", "webpage"},
    {"logger", "method"},
    {"streams"},
    {"run", "frozen", "weights", "consistency", "background", "contract", "fingerprint", "inputs", "row_inputs"},
    {"compute", "features"},
    {"engine", "loader", "large"},
    {"hookspecs", "isolation"},
    {"answers", "strangers"},
    {"plugins"},
    {"checkpoint", "factories", "programs", "rebuilding"},
    {"derived"},
    {"launching"},
    {"parts"},
    {"inference", "layouts", "loggers"},
    {"translator"},
    {"saved"},
    {"file_batches"},
    {"setup"},
    {"saving", "changed_data", "sample_grids", "opening", "ordered", "emergency"},
    {"initial", "resuming", "description"},
    {"evaluation"},
    {"validation", "rollback", "time_budget"},
    {
        "conversion",
        "exporting",
        "importing",
        "training",
        "inspection",
        "reporting",
        "sampling",
        "classification",
        "encoding",
    },
    {"benchmark", "serving"},
    {"testing"},
    {"cli"},
    {"__main__"},
]
FOLDERS = sorted(path.parent.name for path in CORE if path.name == "__init__.py" and path.parent.name != "translate")


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Every import of a file, also those inside functions, but for those made for type checkers only."""

    def walk(node: ast.AST) -> Iterator[tuple[str, int]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
                continue
            if isinstance(child, ast.Import):
                yield from ((alias.name, child.lineno) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path}: relative import"
                yield child.module or "", child.lineno
                if child.module == "translate":
                    yield from ((f"translate.{alias.name}", child.lineno) for alias in child.names)
            yield from walk(child)

    return walk(ast.parse(path.read_text(encoding="utf-8")))


def module_of(path: Path) -> str:
    return path.relative_to(ROOT / "translate").with_suffix("").parts[0]


def floor(module: str) -> int | None:
    return next((number for number, names in enumerate(FLOORS) if module in names), None)


def test_every_core_module_has_a_floor() -> None:
    modules = {module_of(path) for path in CORE} - {"__init__"}
    assert modules == set().union(*FLOORS)


@pytest.mark.parametrize("path", CORE, ids=lambda path: str(path.relative_to(ROOT)))
def test_core_imports_go_down(path: Path) -> None:
    own = module_of(path)
    if own == "__init__":
        return
    for name, line in imports(path):
        head, _, rest = name.partition(".")
        assert not head.startswith("translate_"), f"{path}:{line} imports the plugin {name}"
        target = rest.partition(".")[0]
        if head != "translate" or not target or floor(target) is None or target == own:
            continue
        below, here = floor(target), floor(own)
        assert below is not None
        assert here is not None
        assert below <= here, f"{path}:{line} imports up: {name}"


def test_core_has_no_circles() -> None:
    needs: dict[str, set[str]] = {}
    for path in CORE:
        names = {
            rest.partition(".")[0]
            for head, _, rest in (name.partition(".") for name, _ in imports(path))
            if head == "translate"
        }
        needs.setdefault(module_of(path), set()).update(names - {module_of(path)})
    # The face reaches up, lazily.
    needs.pop("__init__")
    while free := {module for module, names in needs.items() if not names & needs.keys()}:
        needs = {module: names for module, names in needs.items() if module not in free}
    assert not needs, f"these import each other: {sorted(needs)}"


def test_no_core_file_names_a_plugin() -> None:
    for path in CORE:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and path.name not in ("hookspecs.py",):
                assert not any(f"{plugin.name}." in node.value for plugin in PLUGINS), f"{path}:{node.lineno}"


@pytest.mark.parametrize("path", CORE, ids=lambda path: str(path.relative_to(ROOT)))
def test_nobody_outside_imports_the_inner_rooms_of_a_folder(path: Path) -> None:
    for name, line in imports(path):
        head, _, rest = name.partition(".")
        folder, _, inner = rest.partition(".")
        if head == "translate" and folder in FOLDERS and folder != module_of(path):
            room = ROOT / "translate" / folder / f"{inner}.py"
            assert not inner or not room.exists(), f"{path}:{line} passes the door of {folder}: {name}"


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: folder.name)
def test_plugins_import_public_names_only(folder: Path) -> None:
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            for module in modules:
                head = module.partition(".")[0]
                assert not head.startswith("translate_") or head == folder.name, (
                    f"{path}:{node.lineno} imports another plugin: {module}"
                )
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "translate":
                for alias in node.names:
                    known = alias.name in PUBLIC.get(node.module or "", ())
                    whole = node.module == "translate" and f"translate.{alias.name}" in PUBLIC
                    assert known or whole, (
                        f"{path}:{node.lineno} imports {node.module}.{alias.name}, which is not public"
                    )


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: folder.name)
def test_plugins_are_light_and_typed(folder: Path) -> None:
    assert (folder / "py.typed").exists()
    code = f"import sys, {folder.name}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0, f"{folder.name} imports torch"


def test_plugin_folders_are_no_packages() -> None:
    assert not (ROOT / "plugins" / "__init__.py").exists()
    assert not (ROOT / "datasets" / "__init__.py").exists()


def test_only_the_command_line_imports_click() -> None:
    users = {module_of(path) for path in CORE if any(name.partition(".")[0] == "click" for name, _ in imports(path))}
    assert users == {"cli"}


def test_no_module_bears_the_name_of_a_verb() -> None:
    assert not {path.stem for path in CORE} & {
        "fit",
        "convert",
        "evaluate",
        "load",
        "resume",
        "sample",
        "classify",
        "encode",
    }


@pytest.mark.parametrize(
    "path", [*CORE, *(file for folder in PLUGINS for file in folder.rglob("*.py"))], ids=lambda path: path.name
)
def test_every_file_says_what_it_is_and_stays_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)), f"{path} does not say what it is"
    assert len(text.splitlines()) <= 420, f"{path} is long; is it one thing?"


@pytest.mark.parametrize(
    "path", [*CORE, *(file for folder in PLUGINS for file in folder.rglob("*.py"))], ids=lambda path: path.name
)
def test_unsafe_things_are_not_used(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("eval", "exec", "pickle.load", "pickle.loads", "os.system"), (
                f"{path}:{node.lineno} {called}"
            )
            if called == "torch.load":
                assert any(key.arg == "weights_only" and ast.unparse(key.value) == "True" for key in node.keywords)
    assert not any(
        name.partition(".")[0] in ("pickle", "torchvision", "requests", "urllib") for name, _ in imports(path)
    )
