"""The contract of a method is checked when it is built, and ``check_plugin`` looks at every hook."""

from __future__ import annotations

from pathlib import Path

import pytest

from translate import hookspecs, testing
from translate.answers import KINDS, OFFERING
from translate.data import Domain
from translate.errors import TranslateError
from translate.method import Method
from translate.parts import CatalogParts, build_method
from translate.plugins import discover
from translate.testing.offers import _events

METHOD = """
from torch import nn
from translate import hookimpl
from translate.method import Method, Needs, Update

class Mine(Method):
    '''A method.'''
    def __init__(self, parts):
        super().__init__()
        self.network = nn.Conv2d(parts.source.channels, parts.target.channels, 3, padding=1)
    @property
    def players(self): return {players}
    @property
    def translators(self): return {translators}
    @property
    def needs(self): return {needs}
    @property
    def period(self): return {period}
    @property
    def stages(self): return {stages}
    @property
    def optimizers(self): return {optimizers}
    def updates(self, batch, step):
        yield Update("one", {{"l1": (self.network(batch["source"]).tanh() - batch["target"]).abs().mean()}})

@hookimpl
def methods(): return {{"mine": Mine}}
"""
GOOD = {
    "players": "{'one': self.network}",
    "translators": "{'forward': nn.Sequential(self.network, nn.Tanh())}",
    "needs": "Needs()",
    "period": "1",
    "stages": "()",
    "optimizers": "{}",
}


def build_mine(folder: Path, **changed: str) -> Method:
    file = folder / "mine.py"
    file.write_text(METHOD.format(**{**GOOD, **changed}))
    catalog = discover(extra=[str(file)])
    return build_method(catalog, "mine", {}, CatalogParts(catalog, source=Domain(3), target=Domain(3), size=(32, 32)))


def test_a_method_that_keeps_the_contract_is_built(tmp_path: Path) -> None:
    method = build_mine(tmp_path)
    assert (list(method.players), list(method.translators), method.period) == (["one"], ["forward"], 1)
    needs = "Needs(True, frozenset({'source'}), ('labelled',))"
    method = build_mine(tmp_path, stages="(0.25, 0.5)", period="3", needs=needs)
    assert (method.stages, method.period, method.needs.streams) == ((0.25, 0.5), 3, ("labelled",))


@pytest.mark.parametrize(
    ("what", "value", "told"),
    [
        ("players", "{}", "its players must be modules by name, at least one"),
        ("players", "None", "its players must be modules by name"),
        ("players", "{'one': 5}", "its players must be modules by name"),
        ("players", "{1: self.network}", "its players must be modules by name"),
        ("players", "{'': self.network}", "calls a player ''"),
        ("players", "{'a/b': self.network}", "calls a player 'a/b'"),
        ("players", "{}['missing']", "cannot say its players (KeyError: 'missing')"),
        ("translators", "None", "its translators must be modules by direction"),
        ("translators", "{'forward': lambda image: image}", "its translators must be modules by direction"),
        ("translators", "[self.network]", "its translators must be modules by direction"),
        ("translators", "{'there/back': self.network}", "calls a direction 'there/back'"),
        ("translators", "{'': self.network}", "calls a direction ''"),
        ("translators", "{'../../x': self.network}", "calls a direction '../../x'"),
        ("translators", "{'sample': self.network}", "Conv2d must have an attribute noise"),
        ("translators", "{'classify': self.network}", "its classifier Conv2d must have a method features"),
        ("needs", "None", "its needs must be a translate.method.Needs"),
        (
            "needs",
            "Needs(streams=('mask',))",
            "needs.streams names 'mask', and there is no such stream (mismatched, labelled)",
        ),
        ("needs", "Needs(streams='labelled')", "needs.streams must be a collection of names"),
        ("needs", "Needs(streams=None)", "needs.streams must be a collection of names"),
        (
            "needs",
            "Needs(labels={'middle'})",
            "needs.labels names 'middle', and there is no such domain (source, target)",
        ),
        ("needs", "Needs(paired=None)", "needs.paired must be True or False"),
        ("optimizers", "None", "its optimizers must be texts by player, not None"),
        ("optimizers", "{'one': 5}", "its optimizers must be texts by player"),
        ("optimizers", "{'two': 'adam'}", "names an optimizer of the player 'two', and its players are one"),
        ("period", "0", "its period must be a whole number >= 1, not 0"),
        ("period", "True", "its period must be a whole number >= 1"),
        ("period", "1.0", "its period must be a whole number >= 1"),
        ("stages", "(0.5, 0.25)", "its stages must be shares of the training between 0 and 1 in their order"),
        ("stages", "(0.5, 1.5)", "its stages must be shares"),
        ("stages", "(-0.5, 1)", "its stages must be shares"),
        ("stages", "(float('nan'),)", "its stages must be shares"),
        ("stages", "0.5", "its stages must be shares"),
    ],
)
def test_a_method_that_breaks_the_contract_is_refused_by_name(tmp_path: Path, what: str, value: str, told: str) -> None:
    with pytest.raises(TranslateError) as caught:
        build_mine(tmp_path, **{what: value})
    assert told in str(caught.value)
    assert str(caught.value).startswith("method 'mine' of the plugin mine (unpackaged sha256:")
    assert "\n" not in str(caught.value)


HOOK = "from translate import hookimpl\n"
DATA = """
import numpy as np
from translate.data import Dataset, Domain, Example
def listed(change):
    '''Made on the spot.'''
    def made():
        '''Made on the spot.'''
        sides = {{name: [Example(np.zeros((8, 8, 3), np.uint8), str(i)) for i in range(3)] for name in ("source", "target")}}
        return change(sides)
    return made
def whole(sides, domains=None, paired=True):
    return Dataset("made", "made", paired, domains or {{name: Domain(3) for name in sides}}, {{"train": sides}})
@hookimpl
def datasets(): return {{"made": listed(lambda sides: {})}}
"""
METRIC = """
class Mine:
    '''A metric.'''
    needs = {needs}
    protocol = "mine"
    def __init__(self): self.seen = 0
    def update(self, batch): self.seen += {update}
    def result(self): return {result}
def five():
    '''A metric, they say.'''
    return 5
@hookimpl
def metrics(): return {{"mine": {factory}}}
"""
SOUND = {
    "needs": "frozenset({'fake'})",
    "update": "len(batch['fake'])",
    "result": "{'seen': self.seen}",
    "factory": "Mine",
}


def metric(**changed: str) -> str:
    return METRIC.format(**{**SOUND, **changed})


GENERATOR = """
import torch
from torch import nn
class Mine(nn.Module):
    '''A generator.'''
    translates_each_alone = True
    def __init__(self, inputs, outputs):
        super().__init__()
        self.network = nn.Conv2d(inputs, outputs, 1)
    def forward(self, image):
        made = self.network(image)
        return torch.tanh({})
@hookimpl
def generators(): return {{"mine": Mine}}
"""
JUDGE = """
import torch
from torch import nn
from translate.discriminator import DiscriminatorOutput
class Mine(nn.Module):
    '''A discriminator.'''
    judges_each_alone = True
    def __init__(self, inputs, condition):
        super().__init__()
        self.network = nn.Sequential(nn.Conv2d(inputs + condition, 4, 3), {}, nn.Conv2d(4, 1, 3))
    def forward(self, image, condition):
        return DiscriminatorOutput((self.network(torch.cat([image, condition], 1)),))
@hookimpl
def discriminators(): return {{"mine": Mine}}
"""
DRAWING = """
class Drawing(nn.Module):
    def forward(self, image):
        return image * image.new_empty(()).uniform_()

"""
BAD = {
    "a dataset that returns 7": (DATA.format("7"), "made is no dataset: its factory returned a int"),
    "unlike pairs": (DATA.format("whole({**sides, 'target': sides['target'][:2]})"), "its pairs are of unlike number"),
    "another domain": (
        DATA.format("whole({**sides, 'middle': []})"),
        "its domain 'middle' is neither source nor target",
    ),
    "planes": (
        DATA.format("whole(sides, {name: Domain(4) for name in sides})"),
        "has 3 channel(s) where 4 are expected",
    ),
    "nothing": (DATA.format("whole({'source': []})"), "it trains on nothing"),
    "a metric that returns 5": (metric(factory="five"), "mine is no metric: its factory returned a int"),
    "a metric without needs": (metric(needs="None"), "needs must be a set of names, not None"),
    "a metric of unknown needs": (metric(needs="frozenset({'mask'})"), "nothing is called 'mask'"),
    "a score that is text": (metric(result="{'seen': 'many'}"), "seen is 'many' and no number"),
    "no score": (metric(result="{}"), "it has no score"),
    "a metric that changes what it sees": (metric(update="batch['fake'].zero_().numel()"), "changes the tensors"),
    "commands of text": ("@hookimpl\ndef commands(): return ['x']", "answers commands with a list with str ('x')"),
    "commands of nothing": ("@hookimpl\ndef commands(): []", "answers commands with None"),
    "a layout of nobody": ("@hookimpl\ndef recognize(root): return ['nowhere']", "there is no dataset 'nowhere'"),
    "recognize of nothing": ("@hookimpl\ndef recognize(root): ['folders']", "answers recognize with None"),
    "an observer that raises": ("@hookimpl\ndef run_ended(reason): assert reason != 'failed'", "failed in run_ended"),
    "an observer of images": ("@hookimpl\ndef samples_drawn(images): images['real']", "failed in samples_drawn"),
    "an offer that raises": ("@hookimpl\ndef losses(): 1 / 0", "failed in losses"),
    "a runtime that returns 5": (
        "def mine():\n    '''A runtime.'''\n    return 5\n@hookimpl\ndef runtimes(): return {'mine': mine}",
        "it takes a precision that does not exist",
    ),
    "a generator that looks at its neighbours": (GENERATOR.format("made - made.mean(0)"), "translates_each_alone"),
    "a generator that draws": (
        GENERATOR.format("made + torch.randn_like(made) * self.training"),
        "translates_each_alone",
    ),
    "a translator that draws": (
        METHOD.format(
            **{**GOOD, "translators": "{'forward': nn.Sequential(self.network, nn.Tanh(), Drawing())}"}
        ).replace("class Mine", DRAWING + "class Mine"),
        "forward draws noise though no samples are asked for",
    ),
    "a judge that looks at its neighbours": (JUDGE.format("nn.BatchNorm2d(4)"), "judges_each_alone"),
}


@pytest.mark.parametrize("case", list(BAD))
def test_check_plugin_sees_what_is_wrong_with_any_hook(tmp_path: Path, case: str) -> None:
    code, told = BAD[case]
    (tmp_path / "bad.py").write_text(HOOK + code)
    with pytest.raises((AssertionError, AttributeError, TranslateError)) as caught:
        testing.check_plugin("bad", plugins=[str(tmp_path / "bad.py")])
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "code",
    [
        DATA.format("whole(sides)"),
        metric(),
        GENERATOR.format("made"),
        JUDGE.format("nn.Dropout(0.5)"),
        "@hookimpl\ndef run_ended(reason): pass\n@hookimpl\ndef commands(): return []",
    ],
)
def test_check_plugin_takes_what_is_right(tmp_path: Path, code: str) -> None:
    (tmp_path / "fine.py").write_text(HOOK + code)
    testing.check_plugin("fine", plugins=[str(tmp_path / "fine.py")])


def test_every_hook_has_a_check(tmp_path: Path) -> None:
    hooks = {name for name, spec in vars(hookspecs).items() if getattr(spec, "translate_spec", None) is not None}
    (tmp_path / "run").mkdir()
    (tmp_path / "other").mkdir()
    # Loggers are a kind that a plugin of ours has opened.
    assert set(testing.CHECKS) == {*KINDS, "loggers"}
    assert hooks == {*OFFERING, *(event for event, _ in _events(tmp_path / "other"))}


def test_an_example_of_nothing_and_a_missing_one_are_told(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="losses offers no 'l7', of which an example is given"):
        testing.check_plugin("losses", examples={"l7": "l7()"})
    code = metric().replace("def __init__(self)", "def __init__(self, *, depth: int)")
    code = code.replace("depth: int", "depth: Annotated[int, Option('how deep')]")
    imports = "from typing import Annotated\nfrom translate.options import Option\n"
    (tmp_path / "fine.py").write_text(HOOK + imports + code)
    with pytest.raises(AssertionError, match="mine: the option depth has no default; give an example"):
        testing.check_plugin("fine", plugins=[str(tmp_path / "fine.py")])
    testing.check_plugin("fine", plugins=[str(tmp_path / "fine.py")], examples={"mine": "mine(depth=3)"})


def test_our_plugins_without_parts_pass() -> None:
    for name in ("console", "samples"):
        testing.check_plugin(name)
