"""Discovery: who is found, who is blocked, and that a broken plugin costs one line and nothing else."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch

from translate import plugins
from translate.errors import TranslateError
from translate.plugins import KINDS, OURS, Catalog, discover

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a small distribution into a folder on the path, as pip lays it out."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def run(distribution: str, code: str, entry: str | None = None, module: str | None = None) -> None:
        module = module or f"translate_{distribution.removeprefix('translate-')}"
        (tmp_path / f"{module}.py").write_text(code)
        info = tmp_path / f"{distribution.replace('-', '_')}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[translate]\n{entry or distribution} = {module}\n")
        monkeypatch.delitem(sys.modules, module, raising=False)

    return run


GOOD = """
from translate import hookimpl
class Thing:
    '''A thing (Somebody 2020).

    More.'''
    def __init__(self, parts, *, weight: float = 1.0): pass
@hookimpl
def methods():
    return {"%s": Thing}
"""


def found(catalog: Catalog) -> set[str]:
    return {plugin.name for plugin in catalog.plugins}


OUR_NAMES = {"pix2pix", "networks", "losses", "optimizers", "datasets", "console", "samples"}


def test_our_own_come_in_by_entry_points() -> None:
    catalog = discover()
    assert found(catalog) >= OUR_NAMES
    assert all(plugin.distribution == OURS for plugin in catalog.plugins if plugin.name in OUR_NAMES)
    assert "pix2pix" in catalog.offers("methods")


def test_what_a_distribution_says_of_itself_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds the whole description, which takes longer to parse than everything else."""
    read: list[str] = []
    whole = metadata.PathDistribution.read_text

    def noted(distribution: metadata.PathDistribution, name: Any) -> str | None:
        if name == "METADATA":
            read.append(str(distribution._path))  # type: ignore[attr-defined]
        return whole(distribution, name)

    monkeypatch.setattr(metadata.PathDistribution, "read_text", noted)
    discover()
    # Its name and its version.
    assert read
    assert max(map(read.count, read)) <= 2


def test_a_strangers_plugin_appears(install: Install) -> None:
    install("translate-good", GOOD % "good")
    catalog = discover()
    plugin = next(plugin for plugin in catalog.plugins if plugin.name == "translate-good")
    assert (plugin.distribution, plugin.version) == ("translate-good", "1.2")
    assert catalog.offered_by(plugin) == {"methods": ["good"]}
    assert catalog.offers("methods")["good"].summary == "A thing (Somebody 2020)."
    assert catalog.offers("methods")["good"].option_names == ["weight"]


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (
            "import nothing_of_that_name",
            "ModuleNotFoundError: No module named 'nothing_of_that_name' (translate_broken.py, line 1)",
        ),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("1 / 0", "ZeroDivisionError: division by zero (translate_broken.py, line 1)"),
        ("def f(:", "SyntaxError"),
        (
            "from translate import hookimpl\n@hookimpl\ndef metods(): return {}",
            "there is no extension point 'metods'; did you mean methods",
        ),
        ("from translate import hookimpl\n@hookimpl\ndef methods(catalog): return {}", "catalog"),
    ],
)
def test_a_broken_plugin_costs_one_line(
    install: Install, caplog: pytest.LogCaptureFixture, code: str, told: str
) -> None:
    install("translate-broken", code, entry="brk")
    install("translate-good", GOOD % "good")
    catalog = discover()
    assert found(catalog) >= {*OUR_NAMES, "translate-good"}
    assert "brk" not in found(catalog)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    text = record.getMessage()
    assert "the plugin brk (translate-broken 1.2, translate_broken) is broken and left out" in text
    assert told in text
    assert "\n" not in text


@pytest.mark.parametrize(
    "answer", ["1 / 0", "return 5", "return {'a': 5}", "return {1: int}", "import nothing_of_that_name"]
)
def test_a_hook_that_raises_or_answers_nonsense_costs_one_line(
    install: Install, caplog: pytest.LogCaptureFixture, answer: str
) -> None:
    install(
        "translate-odd",
        f"from translate import hookimpl\n@hookimpl\ndef methods():\n    {answer}\n@hookimpl\ndef losses():\n    return {{'odd': abs}}\n",
    )
    catalog = discover()
    assert "pix2pix" in catalog.offers("methods")
    assert "odd" in catalog.offers("losses")
    catalog.offers("methods")
    assert len(caplog.records) == 1
    assert "translate-odd" in caplog.records[0].getMessage()


WRONG_ANSWERS = {
    "methods": ["None", "5", "{'a': 5}", "{1: int}", "['a']", "{'': int}", "{'a': 'no path'}", "(n for n in ())"],
    "recognize": ["None", "5", "'folders()'", "[5]", "['(']", "['folders']*2 + [None]", "['nowhere()']", "{'a': 1}"],
    "commands": ["None", "5", "['x']", "[None]", "{'a': 1}", "(n for n in ())"],
}


@pytest.mark.parametrize(("hook", "answer"), [(hook, each) for hook, them in WRONG_ANSWERS.items() for each in them])
def test_every_answer_is_checked_where_it_comes_in(
    install: Install, caplog: pytest.LogCaptureFixture, tmp_path: Path, hook: str, answer: str
) -> None:
    """A forgotten ``return`` costs one line that names plugin and hook; everything else goes on."""
    arguments = "root" if hook == "recognize" else ""
    install("translate-odd", f"from translate import hookimpl\n@hookimpl\ndef {hook}({arguments}): return {answer}")
    catalog = discover()
    found = list(catalog.ask(hook, **({"root": tmp_path} if hook == "recognize" else {})))
    assert all(plugin.distribution == OURS for plugin, _ in found)
    list(catalog.ask(hook, **({"root": tmp_path} if hook == "recognize" else {})))
    (record,) = caplog.records
    assert f"the plugin translate-odd (translate-odd 1.2) answers {hook} with" in record.getMessage()


def test_a_forgotten_return_harms_neither_folders_nor_help(install: Install, tmp_path: Path) -> None:
    import numpy as np
    from click.testing import CliRunner

    from translate import images
    from translate.cli import cli
    from translate.layouts import open_dataset

    code = (
        "from translate import hookimpl\n@hookimpl\ndef recognize(root): ['folders()']\n@hookimpl\ndef commands(): []"
    )
    install("translate-odd", code)
    for side in ("train/source", "train/target"):
        (tmp_path / "data" / side).mkdir(parents=True)
        images.write(tmp_path / "data" / side / "1.png", images.Image(np.zeros((8, 8, 3), np.uint8), None))
    assert open_dataset(discover(), str(tmp_path / "data")).paired
    done = CliRunner().invoke(cli, ["--help"])
    assert (done.exit_code, done.exception) == (0, None)
    assert "evaluate" in done.output


def test_hooks_are_called_in_the_order_of_pluggy(install: Install) -> None:
    code = "from translate import hookimpl\n@hookimpl{}\ndef conversion_started(total): total.append('{}')"
    for name, how in (
        ("a", ""),
        ("b", "(trylast=True)"),
        ("c", "(tryfirst=True)"),
        ("d", ""),
        ("e", "(tryfirst=True)"),
    ):
        install(f"translate-{name}", code.format(how, name))
    heard: list[str] = []
    catalog = discover()
    theirs = [plugin for plugin in catalog.plugins if plugin.distribution != OURS]
    catalog.tell("conversion_started", total=heard, verb="convert")
    assert heard == ["c", "e", "a", "d", "b"]
    # As pluggy itself calls them.
    again: list[str] = []
    for caller in (
        catalog._manager.subset_hook_caller(
            "conversion_started", [each.module for each in catalog.plugins if each not in theirs]
        ),
    ):
        caller(total=again, verb="convert")
    assert again == heard


@pytest.mark.parametrize("kind", ["wrapper=True", "hookwrapper=True"])
def test_a_wrapper_is_refused_at_registration(install: Install, caplog: pytest.LogCaptureFixture, kind: str) -> None:
    install("translate-odd", f"from translate import hookimpl\n@hookimpl({kind})\ndef methods():\n    return (yield)")
    assert "translate-odd" not in found(discover())
    assert "its hook methods wraps those of other plugins" in caplog.text


def test_one_module_under_two_names_is_registered_once(install: Install, caplog: pytest.LogCaptureFixture) -> None:
    install("translate-odd", GOOD % "odd", entry="one = translate_odd\ntwo")
    catalog = discover()
    assert {"one", "two"} & found(catalog) == {"one"}
    assert "its module translate_odd is a plugin already" in caplog.text


def test_an_observer_that_raises_is_told_once_and_harms_nobody(
    install: Install, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    install(
        "translate-noisy",
        "from translate import hookimpl\n@hookimpl\ndef conversion_started(total): raise ValueError(total)",
    )
    install(
        "translate-quiet",
        "from translate import hookimpl\nheard = []\n@hookimpl\ndef conversion_started(total): heard.append(total)",
    )
    catalog = discover()
    for total in (1, 2, 3):
        catalog.tell("conversion_started", total=total, verb="convert")
    assert len(caplog.records) == 1
    assert "failed in conversion_started and is left out there: ValueError: 1" in caplog.records[0].getMessage()
    assert sys.modules["translate_quiet"].heard == [1, 2, 3]


def test_a_built_in_name_wins_with_a_warning(install: Install, caplog: pytest.LogCaptureFixture) -> None:
    install("translate-rival", GOOD % "pix2pix")
    catalog = discover()
    assert catalog.offer("methods", "pix2pix").plugin.distribution == OURS
    assert "offers method 'pix2pix', which pix2pix (image-translate" in caplog.records[0].getMessage()


@pytest.mark.parametrize("name", ["aaa", "zzz"])
def test_no_stranger_takes_a_built_in_name(
    install: Install, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """Neither an installed one nor a file that was asked for, wherever they stand in the alphabet."""
    install(f"translate-{name}", GOOD % "pix2pix", entry=name)
    (tmp_path / f"{name}_file.py").write_text(GOOD % "pix2pix")
    catalog = discover(extra=[str(tmp_path / f"{name}_file.py")])
    for offer in (catalog.offer("methods", "pix2pix"), catalog.offers("methods")["pix2pix"]):
        assert offer.plugin.distribution == OURS
        assert offer.target == "translate_pix2pix.method:Pix2Pix"
    losers = [record.getMessage() for record in caplog.records]
    assert len(losers) == 2
    assert any(f"the plugin {name} (translate-{name} 1.2) offers method 'pix2pix'" in loser for loser in losers)
    assert any(f"the plugin {name}_file (unpackaged" in loser for loser in losers)


def test_two_strangers_clash_only_for_who_asks(install: Install, caplog: pytest.LogCaptureFixture) -> None:
    install("translate-one", GOOD % "same")
    install("translate-two", GOOD % "same")
    catalog = discover()
    assert catalog.offer("methods", "pix2pix")
    assert not caplog.records
    with pytest.raises(
        TranslateError, match="offered by translate-one .* and by translate-two .*--no-plugin translate-two"
    ):
        catalog.offer("methods", "same")
    assert discover(blocked=["translate-two"]).offer("methods", "same").plugin.name == "translate-one"


@pytest.mark.parametrize("by", ["entry", "distribution", "environment"])
def test_a_blocked_plugin_is_not_imported(install: Install, by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    install("translate-blocked", "raise SystemExit", entry="blk")
    if by == "environment":
        monkeypatch.setenv(plugins.BLOCK_VARIABLE, "blk,other")
    catalog = discover(blocked={"entry": ["blk"], "distribution": ["translate-blocked"], "environment": []}[by])
    assert "blk" not in found(catalog)
    assert "translate_blocked" not in sys.modules


def test_blocking_a_name_that_is_not_there_suggests() -> None:
    with pytest.raises(TranslateError, match="no plugin 'consol' to block; did you mean console"):
        discover(blocked=["consol"])


def test_unpackaged_files_and_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(GOOD % "mine")
    (tmp_path / "module_of_mine.py").write_text(GOOD % "other")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    catalog = discover(extra=[str(tmp_path / "mine.py"), "module_of_mine"])
    plugin = catalog.offer("methods", "mine").plugin
    assert plugin.unpackaged
    assert plugin.version.startswith("sha256:")
    assert catalog.offer("methods", "other").plugin.name == "module_of_mine"
    (tmp_path / "mine.py").write_text("x = \n")
    with pytest.raises(TranslateError, match=r"cannot load the plugin .*mine\.py: SyntaxError"):
        discover(extra=[str(tmp_path / "mine.py")])
    with pytest.raises(TranslateError, match="cannot load the plugin nowhere_to_be_found"):
        discover(extra=["nowhere_to_be_found"])


def test_an_unpackaged_plugin_wins_over_an_installed_stranger(install: Install, tmp_path: Path) -> None:
    install("translate-old", GOOD % "mine")
    (tmp_path / "new.py").write_text(GOOD % "mine")
    assert discover(extra=[str(tmp_path / "new.py")]).offer("methods", "mine").plugin.unpackaged


def test_an_offer_that_cannot_be_imported_names_its_plugin(install: Install) -> None:
    install(
        "translate-lazy",
        "from translate import hookimpl\n@hookimpl\ndef methods(): return {'lazy': 'translate_lazy:Missing', 'text': 'translate_lazy:x'}\nx = 5",
    )
    catalog = discover()
    assert catalog.offers("methods")["lazy"].summary == ""
    with pytest.raises(TranslateError, match="plugin translate-lazy .* cannot provide method 'lazy': AttributeError"):
        catalog.offer("methods", "lazy").load()
    with pytest.raises(TranslateError, match="cannot be called"):
        catalog.offer("methods", "text").load()


def test_options_of_a_base_are_read_without_importing_either(install: Install, tmp_path: Path) -> None:
    """A preset has no constructor of its own in its source; a base of another package is not looked for."""
    package = tmp_path / "translate_family"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "whole.py").write_text(
        "raise RuntimeError('imported')\n"
        "class Whole:\n    def __init__(self, parts, *, weight=1.0, depth=2): pass\nclass Alike(Whole): pass\n"
        "class Round(Circle): pass\nclass Circle(Round): pass\n"
    )
    (package / "quick.py").write_text(
        "from torch.nn import Module as Foreign\nfrom translate_family.whole import Alike as Base\n"
        "class Quick(Base):\n    'Quick.'\n    __init__ = preset(Base.__init__, weight=3.0)\n"
        "class Own(Base):\n    def __init__(self, *, other): pass\n"
        "class Stranger(Foreign): pass\nclass Alone: pass\n"
    )
    places = {
        "quick": "quick:Quick", "own": "quick:Own", "stranger": "quick:Stranger", "alone": "quick:Alone",
        "round": "whole:Round", "alike": "whole:Alike", "gone": "quick:Gone",
    }  # fmt: skip
    offered = {name: f"translate_family.{place}" for name, place in places.items()}
    install("translate-near", f"from translate import hookimpl\n@hookimpl\ndef methods(): return {offered!r}")
    offers = discover().offers("methods")
    assert {name: offers[name].option_names for name in places} == {
        "quick": ["weight", "depth"], "own": ["other"], "stranger": [], "alone": [], "round": [],
        "alike": ["weight", "depth"], "gone": [],
    }  # fmt: skip
    assert offers["quick"].summary == "Quick."
    assert not {"translate_family.whole", "translate_family.quick"} & set(sys.modules)


@pytest.mark.parametrize("code", ["raise RuntimeError('no colours')", "raise SystemExit(3)", "1 / 0"])
def test_an_offer_in_a_broken_package_harms_no_other(
    install: Install, tmp_path: Path, caplog: pytest.LogCaptureFixture, code: str
) -> None:
    """The names are listed with their summaries, and finding a module imports the packages that hold it."""
    (tmp_path / "translate_strange").mkdir()
    (tmp_path / "translate_strange" / "__init__.py").write_text(
        f"import torch\ntorch.set_default_dtype(torch.float64)\n{code}\n"
    )
    (tmp_path / "translate_strange" / "inner.py").touch()
    install(
        "translate-far",
        "from translate import hookimpl\n@hookimpl\ndef methods(): return {'far': 'translate_strange.inner:Far'}",
    )
    offers = discover().offers("methods")
    assert (offers["far"].summary, offers["far"].option_names) == ("", [])
    assert offers["pix2pix"].summary
    assert torch.get_default_dtype() == torch.float32
    assert "the plugin translate-far (translate-far 1.2) changes torch's default dtype" in caplog.text
    with pytest.raises(TranslateError, match="plugin translate-far .* cannot provide method 'far'"):
        offers["far"].load()


def test_a_plugin_is_the_same_one_however_long_its_import_took() -> None:
    first, *_ = discover().plugins
    assert replace(first, seconds=first.seconds + 1) == first
    assert replace(first, version="0") != first


@pytest.mark.parametrize(
    "changed",
    [
        "the environment",
        "the environment and torch's default dtype",
        "the environment, torch's default dtype and torch's grad mode",
    ],
)
def test_all_that_a_file_changes_when_it_is_imported_is_listed(
    tmp_path: Path, changed: str, caplog: pytest.LogCaptureFixture
) -> None:
    code = ["os.environ['STRANGE'] = '1'", "torch.set_default_dtype(torch.float64)", "torch.set_grad_enabled(False)"]
    path = tmp_path / "strange.py"
    path.write_text("\n".join(["import os, torch", *code[: 1 + changed.count("torch")]]))
    discover(extra=[str(path)])
    assert caplog.messages == [f"warning: the plugin {path} changes {changed} when it is imported; that was undone"]


def test_an_unknown_name_suggests() -> None:
    with pytest.raises(TranslateError, match="there is no method 'pix2pi'; did you mean pix2pix"):
        discover().offer("methods", "pix2pi")


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("methods", "method"),
        ("losses", "loss"),
        ("adversarial_losses", "adversarial loss"),
        ("feature_extractors", "feature extractor"),
        ("datasets", "dataset"),
    ],
)
def test_kinds_are_named_in_plain_words(kind: str, word: str) -> None:
    with pytest.raises(TranslateError, match=f"^there is no {word} 'nothing'; "):
        discover().offer(kind, "nothing")


def test_every_extension_point_is_documented() -> None:
    from translate import hookspecs

    specs = [spec for spec in vars(hookspecs).values() if getattr(spec, "translate_spec", None) is not None]
    assert len(specs) >= 20
    assert all(spec.__doc__ for spec in specs)
    assert {"methods", "generators", "discriminators", "adversarial_losses", "losses", "datasets"} <= set(KINDS)


def test_a_submodule_that_would_hide_a_hook_is_told_at_once(
    install: Install, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Importing ``package.losses`` sets the package's attribute ``losses``, where its hook was."""
    install("translate-hiding", "")
    (tmp_path / "translate_hiding.py").unlink()
    (tmp_path / "translate_hiding").mkdir()
    (tmp_path / "translate_hiding" / "__init__.py").write_text(
        "from translate import hookimpl\n@hookimpl\ndef losses(): return {}"
    )
    (tmp_path / "translate_hiding" / "losses.py").write_text("")
    discover()
    assert "its submodule losses hides its hook losses; rename the submodule" in caplog.text
