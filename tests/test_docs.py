"""The documents against the code: links, commands, options, names and defaults, and the first method as it is told."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import numpy as np
import pytest
import yaml
from forking import ran

from translate import hookspecs, images
from translate.cli import cli
from translate.cli.flags import Session
from translate.cli.training import MethodCommand
from translate.conversion import convert
from translate.encoding import encode
from translate.errors import TranslateError
from translate.evaluation import evaluate
from translate.exporting import export
from translate.images import MAX_PIXELS
from translate.importing import import_network
from translate.options import Parameter, check_options, declared_by, options_of, parse_call, parse_calls
from translate.plugins import OURS, Catalog, discover
from translate.run import Config, Run
from translate.validation import metrics_of

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(
    [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *ROOT.glob("benchmarks/*.md"), *ROOT.glob("examples/*/README.md")]
)
FIRST = DOCS / "your-first-method.md"
# Pages whose lines are long because tables and results are.
LONG = {"benchmarks/README.md", "docs/results.md", "docs/performance.md", "examples/translate-residual/README.md"}
CATALOG = discover()


def text_of(page: Path | str) -> str:
    return (page if isinstance(page, Path) else DOCS / page).read_text(encoding="utf-8")


def blocks(page: Path, language: str) -> list[str]:
    text = text_of(page).replace("\\\n", "") if language != "python" else text_of(page)
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def name_of(value: Any) -> str:
    return str(value.relative_to(ROOT)) if isinstance(value, Path) else str(value)


each_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


# --- pages ------------------------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """The names of a page's headings, as links write them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text_of(page), flags=re.M | re.S), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", text_of(page), flags=re.MULTILINE | re.DOTALL)
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    for link in links:
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        there = (page.parent / target).resolve() if target else page
        assert there.exists(), f"{name_of(page)} links to {link}, which is not there"
        assert not anchor or anchor in anchors(there), f"{name_of(page)} links to {link}: there is no such heading"


def test_links_do_not_leave_the_repository() -> None:
    for page in PAGES:
        for link in re.findall(r"\]\(([^)\s:]+)\)", text_of(page)):
            assert (page.parent / link.partition("#")[0]).resolve().is_relative_to(ROOT)


@pytest.mark.parametrize("page", [page for page in PAGES if name_of(page) not in LONG], ids=name_of)
def test_lines_are_short(page: Path) -> None:
    # What a command has printed is as wide as it is.
    written = re.sub(r"^```text$.*?^```$", lambda found: "\n" * found[0].count("\n"), text_of(page), flags=re.M | re.S)
    for number, line in enumerate(written.splitlines(), start=1):
        assert len(line) <= 120 or line.startswith("|"), f"{name_of(page)}:{number} has {len(line)} characters"


@each_page
def test_python_in_pages_compiles_and_its_imports_exist(page: Path) -> None:
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "translate":
                module = importlib.import_module(node.module or "")
                for alias in node.names:
                    assert hasattr(module, alias.name), f"{node.module} has no {alias.name}"


# --- commands ---------------------------------------------------------------------------------------------------------


def commands(page: Path) -> Iterator[str]:
    """Every command ``translate ...`` of a page, in its code blocks and in its text."""
    text = text_of(page)
    for line in text.splitlines():
        if (found := re.match(r"(?:    |\t)?(?:\$ )?(translate [^#]*)", line)) and not line[0].isalpha():
            yield found[1].strip()
    for block in blocks(page, "(?:console|sh|bash)"):
        yield from (line.partition(" #")[0] for line in block.splitlines() if line.startswith("translate "))
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"`(translate (?!\.)[^`]+)`", prose)


def documented() -> list[Any]:
    found = {(page, command): None for page in PAGES for command in commands(page)}
    return [pytest.param(command, id=f"{page.stem}: {command}") for page, command in found]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """The installed plugins, and those that the documents tell of: the first method and the examples."""
    folder = tmp_path_factory.mktemp("plugins")
    write_files(FIRST, folder)
    with pytest.MonkeyPatch.context() as patch:
        extra = []
        for package in sorted((ROOT / "examples").glob("translate-*")):
            patch.syspath_prepend(str(package))
            extra.append(package.name.replace("-", "_"))
        yield Session([str(folder / "my_method.py"), *extra], [])


def parse(command: str, session: Session) -> list[click.Context]:
    """Read a command as the command line would, down to its last subcommand, and run nothing."""
    words = [word.replace("METHOD", "pix2pix") for word in shlex.split(command)[1:]]
    words = [word for word in words if word != "..."]
    if len(words) == 1 and words[0] in cli.commands:
        words.append("--help")  # a command named in passing
    context = cli.make_context("translate", words, obj=session)
    found = [context]
    while isinstance(context.command, click.Group):
        rest = [*context._protected_args, *context.args]
        if not rest:
            return found
        name, subcommand, rest = context.command.resolve_command(context, rest)
        assert subcommand is not None
        context = subcommand.make_context(name, rest, parent=context)
        found.append(context)
    return found


def check_parts(context: click.Context, catalog: Catalog) -> None:
    """Hold what a command says of parts, such as ``unet(width=32)``, against the parts' own options."""
    if not isinstance(context.command, MethodCommand):
        return
    declared = options_of(catalog.offer("methods", context.info_name or "").load()) | Config.parameters()
    for name, value in context.params.items():
        kind = declared[name].option.part if name in declared else None
        if kind and value:
            for each in value if isinstance(value, tuple) else [value]:
                # One flag may name several loggers.
                for text in each if isinstance(each, tuple) else [each]:
                    check_part(kind, text, catalog)


def check_part(kind: str, text: str, catalog: Catalog) -> None:
    if kind == "feature_extractors" and re.fullmatch(r"[\w.-]+(/[\w.-]+)+", text):
        return  # the folder of a run
    if kind == "metrics":
        for each in metrics_of([text]):
            call = parse_call(each)
            check_options(call.options, options_of(catalog.offer(kind, call.name).load()), call.name)
        return
    if kind == "optimizers":
        text = re.sub(r"^\w+=(?=\w+\()", "", text)
    first, *others = parse_calls(text)
    for each, call in [(kind, first), *(("regularizers", call) for call in others)]:
        check_options(call.options, options_of(catalog.offer(each, call.name).load()), call.name)


@pytest.mark.parametrize("command", documented())
def test_commands_are_understood(command: str, session: Session) -> None:
    try:
        context = parse(command, session)[-1]
    except click.exceptions.Exit as shown:  # --help, --version
        assert shown.exit_code == 0
        return
    check_parts(context, session.catalog)
    layout, data = context.params.get("layout"), str(context.params.get("data") or context.params.get("path") or "")
    for text in (layout, data if re.fullmatch(r"\w+\(.*\)", data) else None):
        if text:
            check_part("datasets", text, session.catalog)


def test_the_check_of_commands_would_see_a_mistake(session: Session) -> None:
    for command in ("translate fitt", "translate fit pix2pix a --sise 3", "translate convert a", "translate data a b"):
        with pytest.raises(click.UsageError):
            parse(command, session)
    context = parse("translate fit pix2pix a --generator 'unet(dept=3)'", session)[-1]
    with pytest.raises(TranslateError, match="did you mean depth"):
        check_parts(context, session.catalog)


def test_commands_are_found() -> None:
    assert len(documented()) > 30


# --- names, options and defaults --------------------------------------------------------------------------------------


def rows(page: Path | str) -> dict[str, list[str]]:
    """The rows of a page's tables, by each word in code of their first cell."""
    found: dict[str, list[str]] = {}
    for line in text_of(page).splitlines():
        if line.startswith("|"):
            cells = [cell.strip() for cell in line.strip("|").split(" |")]
            for word in re.findall(r"`([^`]+)`", cells[0]):
                found.setdefault(word, cells)
    return found


def told(value: Any) -> str:
    """A default as a command would write it."""
    words: Mapping[Any, str] = {True: "yes", False: "no", None: "none"}
    if isinstance(value, (bool, type(None))):
        return words[value]
    return value if isinstance(value, str) else repr(value)


def check_flags(page: str, parameters: Iterable[Parameter]) -> None:
    table = rows(page)
    for parameter in parameters:
        flag = "--" + parameter.name.replace("_", "-")
        assert flag in table, f"docs/{page} does not tell of {flag}"
        default = parameter.default
        if isinstance(default, tuple):
            default = default[0] if default else None
        if default not in (None, ""):
            assert table[flag][1] == f"`{told(default)}`", f"docs/{page} tells another default of {flag}"


def test_training_tells_every_option_of_a_config() -> None:
    check_flags("training.md", Config.parameters().values())
    assert "`plugins`" in text_of("training.md")


def test_pix2pix_tells_every_option_of_its_own() -> None:
    check_flags("methods/pix2pix.md", options_of(CATALOG.offer("methods", "pix2pix").load()).values())


@pytest.mark.parametrize(
    ("page", "kind"),
    [
        ("training.md", "optimizers"),
        ("training.md", "schedules"),
        ("data.md", "datasets"),
        ("data.md", "augmentations"),
        ("objectives.md", "adversarial_losses"),
        ("objectives.md", "regularizers"),
        ("objectives.md", "losses"),
    ],
)
def test_pages_tell_every_part_with_its_options(page: str, kind: str) -> None:
    table = rows(page)
    for name, offer in CATALOG.offers(kind).items():
        if offer.plugin.distribution != "image-translate":
            continue
        assert name in table, f"docs/{page} does not tell of {name}"
        declared = options_of(offer.load()).values()
        wanted = [f"{parameter.name}={told(parameter.default)}" for parameter in declared]
        cell = table[name][1] if wanted else ""
        assert re.findall(r"`(\w+=[^`]*)`", cell) == wanted, f"docs/{page} tells other options of {name}"


@pytest.mark.parametrize(
    ("page", "verb"),
    [
        ("conversion.md", convert),
        ("exporting.md", export),
        ("importing.md", import_network),
        ("evaluation.md", evaluate),
        ("encoding.md", encode),
    ],
    ids=["convert", "export", "import", "evaluate", "encode"],
)
def test_pages_tell_every_option_of_a_verb(page: str, verb: Any) -> None:
    table = rows(page)
    for parameter in declared_by(verb).values():
        flags = [flag for flag, _ in parameter.option.assigns]
        for flag in flags or [parameter.option.flag or "--" + parameter.name.replace("_", "-")]:
            assert flag in table, f"docs/{page} does not tell of {flag}"
        if not parameter.required and parameter.default not in (None, "", (), MAX_PIXELS):
            assert table[flag][1] == f"`{told(parameter.default)}`", f"docs/{page} tells another default of {flag}"


@pytest.fixture(scope="module")
def flags(session: Session) -> frozenset[str]:
    """The flags of all commands."""
    known = {"--help", "--version"}
    waiting: list[click.Command] = [cli]
    with click.Context(cli, obj=session) as context:
        while waiting:
            command = waiting.pop()
            known |= {flag for option in command.get_params(context) for flag in (*option.opts, *option.secondary_opts)}
            if isinstance(command, click.Group):
                names = command.list_commands(context)
                waiting += [found for name in names if (found := command.get_command(context, name)) is not None]
    return frozenset(known)


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent.name != "benchmarks"], ids=name_of)
def test_flags_in_the_text_exist(page: Path, flags: frozenset[str]) -> None:
    prose = re.sub(r"^```.*?^```$|^    .*$", "", text_of(page), flags=re.MULTILINE | re.DOTALL)
    for code in re.findall(r"`([^`\n]+)`", prose):
        if code.startswith(("-", "translate ")):
            assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", code)) <= flags, f"{name_of(page)}: {code}"


def test_every_extension_point_is_named() -> None:
    hooks = {name for name, value in vars(hookspecs).items() if hasattr(value, "translate_spec")}
    assert len(hooks) > 15
    table = rows("plugins/README.md")
    assert hooks <= table.keys(), f"docs/plugins/README.md does not tell of {hooks - table.keys()}"
    assert not {name for name in table if name.isidentifier()} - hooks


def test_the_house_is_told_whole() -> None:
    table = rows("architecture.md")
    told_of = set(re.findall(r"`(\w+)/?`", text_of("architecture.md")))
    modules = {path.stem for path in (ROOT / "translate").iterdir() if path.suffix == ".py" or path.is_dir()}
    assert modules - {"__pycache__", "py"} <= told_of
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(project["entry-points"]["translate"].values()) <= table.keys()
    plain = {line.strip("| ").partition(" |")[0] for line in text_of("architecture.md").splitlines()}
    assert {re.split(r"[<>=]", each)[0] for each in project["dependencies"]} <= plain


def test_the_readmes_tables_are_those_of_the_catalog() -> None:
    spec = importlib.util.spec_from_file_location("tables", DOCS / "tables.py")
    assert spec is not None
    assert spec.loader is not None
    tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    assert tables.main(["--check"]) == 0, "run python docs/tables.py"


def test_every_method_has_its_page() -> None:
    ours = {name for name, offer in CATALOG.offers("methods").items() if offer.plugin.distribution == OURS}
    assert {page.stem for page in (DOCS / "methods").glob("*.md")} == ours | {"README"}
    linked = set(re.findall(r"\]\((\w+)\.md\)", text_of("methods/README.md").partition("## Which one")[2]))
    assert linked == ours


def test_exit_codes_are_told() -> None:
    codes = set(re.findall(r"^\| (\d+) \|", text_of("training.md"), re.MULTILINE))
    assert codes == {"0", "1", "2", "3", "4", "5", "129", "130", "143"}
    assert codes == set(re.findall(r"^\| ([\d, ]+) \|", text_of("training.md"), re.MULTILINE))


def test_config_files_are_valid() -> None:
    seen = 0
    for page in PAGES:
        for block in blocks(page, "yaml"):
            values = yaml.safe_load(block)
            if not isinstance(values, dict):
                continue
            seen += 1
            config = Config.from_values({name.replace("-", "_"): value for name, value in values.items()})
            own = options_of(CATALOG.offer("methods", config.method).load())
            check_options(config.options, own, config.method)
            for name, parameter in (own | Config.parameters()).items():
                value = config.options.get(name) if name in own else getattr(config, name)
                if parameter.option.part and value:
                    for text in value if isinstance(value, tuple) else [value]:
                        check_part(parameter.option.part, text, CATALOG)
    assert seen


def test_the_example_in_the_page_is_the_example() -> None:
    page = DOCS / "publish-a-plugin.md"
    package = ROOT / "examples" / "translate-residual"
    (block,) = blocks(page, "toml")
    shown, true = tomllib.loads(block), tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))
    for name, value in shown["project"].items():
        assert true["project"][name] == value
    hooks = next(block for block in blocks(page, "python") if "def methods" in block)
    source = (package / "translate_residual" / "__init__.py").read_text(encoding="utf-8")

    def offers(code: str) -> list[str]:
        return [ast.unparse(node) for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Return)]

    assert offers(hooks) == offers(source)


# --- the first method, as it is told ----------------------------------------------------------------------------------


def write_files(page: Path, folder: Path) -> None:
    """Write the page's Python blocks to the files that their first lines name."""
    for block in blocks(page, "python"):
        if found := re.match(r"# (\w+\.py)\n", block):
            (folder / found[1]).write_text(block, encoding="utf-8")


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The page followed to its end in an empty folder: the files written, each command run; but trained briefly."""
    folder = tmp_path_factory.mktemp("first")
    write_files(FIRST, folder)
    # Networks this small gain nothing from threads, which would wait for one another on a busy machine.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    outputs: dict[str, str] = {}
    for command in (line for block in blocks(FIRST, "console") for line in block.splitlines()):
        program, *words = shlex.split(command)
        if "--steps" in words:
            words[words.index("--steps") + 1] = "6"
            words += ["--log-every", "3", "--save-every", "6", "--sample-every", "6"]
        if words[-1].endswith(".py"):
            words += ["-q", "-p", "no:cacheprovider"]
        if program == "translate":
            done = ran(*words, cwd=folder, env=environment)
        else:
            words = [sys.executable, *words]
            done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
        assert "warning" not in done.stderr
        outputs[command] = done.stdout
    return SimpleNamespace(folder=folder, outputs=outputs)


def _output(followed: SimpleNamespace, part: str) -> str:
    outputs: dict[str, str] = followed.outputs
    return next(output for command, output in outputs.items() if part in command)


def test_first_method_is_short() -> None:
    method = next(block for block in blocks(FIRST, "python") if block.startswith("# my_method.py"))
    assert len(method.splitlines()) < 70


def test_first_method_shows_its_options(followed: SimpleNamespace) -> None:
    shown = " ".join(_output(followed, "coarse --help").split())
    assert "Options of coarse:" in shown
    assert "by how much images are shrunk before they are compared (>= 1) [default: 4]" in shown
    assert "generator from source to target: global_local, resnet, shallow" in shown


def test_first_method_tries_a_step_and_writes_nothing(followed: SimpleNamespace) -> None:
    assert "generator/coarse" in _output(followed, "--dry-run")
    assert [path.name for path in (followed.folder / "runs").iterdir()] == ["coarse"]


def test_first_method_trains(followed: SimpleNamespace) -> None:
    run = Run.open(followed.folder / "runs" / "coarse")
    assert [line["step"] for line in run.metrics] == [3, 6]
    assert {"discriminator/adversarial", "generator/adversarial", "generator/coarse"} < run.metrics[-1].keys()
    assert list(run.samples.glob("*.png"))
    assert json.loads((run.folder / "config.json").read_text(encoding="utf-8"))["plugin"].startswith(
        "my_method (unpackaged sha256:"
    )


def test_first_method_converts(followed: SimpleNamespace) -> None:
    sources = sorted((followed.folder / "pairs" / "test" / "source").iterdir())
    answers = sorted((followed.folder / "converted").glob("[!.]*"))
    assert [path.name for path in answers] == [path.name for path in sources]
    before, after = images.read(sources[0]).pixels, images.read(answers[0]).pixels
    assert before.shape == after.shape == (32, 32, 3)
    assert np.abs(before.astype(int) - after).mean() > 1


def test_first_method_keeps_its_contracts(followed: SimpleNamespace) -> None:
    assert "1 passed" in _output(followed, "pytest")
