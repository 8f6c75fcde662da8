"""Naming parts with their options, and checking options against what factories declare."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from translate.errors import TranslateError, nearest
from translate.options import Call, Option, check_options, describe, options_of, parse_call, parse_calls
from translate.presets import preset

names = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True).filter(
    lambda name: name not in {"true", "false", "yes", "no", "on", "off", "none", "null"} and name.isidentifier()
)
plain = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
)
values = plain | st.lists(plain, max_size=3).map(tuple)


def is_keyword(name: str) -> bool:
    import keyword

    return keyword.iskeyword(name)


@given(names, st.dictionaries(names, values, max_size=4))
def test_what_is_written_is_read_back(name: str, options: dict[str, Any]) -> None:
    if is_keyword(name) or any(is_keyword(option) for option in options):
        return
    call = Call(name, options)
    assert parse_call(str(call)) == call


@given(st.text(max_size=40))
def test_any_text_is_a_part_or_one_sentence(text: str) -> None:
    try:
        calls = parse_calls(text)
    except TranslateError as error:
        assert "\n" not in str(error).replace(repr(text), "")
    else:
        assert all(call.name for call in calls)


def test_bare_words_nested_parts_and_sums() -> None:
    assert parse_call("dtn(generator=unet(depth=3), on=yes, loss=hinge+r1, size=none)").options == {
        "generator": "unet(depth=3)",
        "on": True,
        "loss": "hinge + r1",
        "size": None,
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "unet(",
        "unet(7)",
        "a.b",
        "__import__('os')",
        "unet(x=__import__('os'))",
        "unet(**a)",
        "1",
        "f(a=1)(b=2)",
        "unet(a=1, a=2)",
    ],
)
def test_other_things_are_refused(text: str) -> None:
    with pytest.raises(TranslateError, match=r"write it as a call|names"):
        parse_call(text)


class Network:
    def __init__(
        self,
        inputs: int,
        *,
        depth: Annotated[int, Option("halvings", ge=1, le=9)] = 8,
        rate: Annotated[float | None, Option("rate", gt=0)] = None,
        norm: Annotated[Literal["batch", "none"], Option("kind")] = "batch",
        betas: tuple[float, float] = (0.5, 0.999),
        many: tuple[str, ...] = (),
        flag: bool = False,
        path: Path | None = None,
        needed: Annotated[str, Option("a thing")],
    ) -> None: ...


def checked(**options: Any) -> dict[str, Any]:
    return check_options({"needed": "x", **options}, options_of(Network), "net")


def test_options_are_the_keyword_only_arguments() -> None:
    found = options_of(Network)
    assert list(found) == ["depth", "rate", "norm", "betas", "many", "flag", "path", "needed"]
    assert found["depth"].default == 8
    assert found["depth"].option.help == "halvings"
    assert describe(found["depth"]) == "a whole number >= 1 and <= 9"
    assert describe(found["norm"]) == "'batch' or 'none'"
    assert describe(found["rate"]) == "a number > 0, or none"
    assert describe(found["betas"]) == "2 values (a number, a number)"


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        ("Width", "NameError: name 'Width' is not defined"),
        ("int[", "SyntaxError: "),
        ("1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
def test_options_whose_types_cannot_be_read_are_one_sentence(annotation: str, reason: str) -> None:
    """As with a name that is imported for type checkers only."""

    def narrow(*, width: int = 8) -> None: ...

    narrow.__annotations__ = {"width": annotation}
    with pytest.raises(TranslateError) as caught:
        options_of(narrow)
    assert "the options of " in str(caught.value)
    assert f".narrow cannot be read ({reason}" in str(caught.value)


def test_values_and_text_are_brought_to_their_type() -> None:
    assert checked(depth="7", rate="1e-3", norm="none", betas="0.1, 0.2", many=["a"], flag="yes", path="a/b") == {
        "needed": "x", "depth": 7, "rate": 1e-3, "norm": "none", "betas": (0.1, 0.2), "many": ("a",), "flag": True, "path": Path("a/b"),
    }  # fmt: skip
    assert checked(rate="none")["rate"] is None
    assert checked(many="adam(betas=(0.5, 0.9))")["many"] == ("adam(betas=(0.5, 0.9))",)
    assert checked(norm=None)["norm"] == "none"
    assert checked(depth=3.0)["depth"] == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dept": 7}, "net has no option 'dept'; did you mean depth"),
        ({"depth": 0}, "depth must be a whole number >= 1 and <= 9, not 0"),
        ({"depth": "x"}, "not 'x'"),
        ({"depth": 2.5}, "not 2.5"),
        ({"depth": True}, "not True"),
        ({"rate": 0.0}, "rate must be a number > 0, or none"),
        ({"rate": float("nan")}, "nan"),
        ({"norm": "instanc"}, "'batch' or 'none'"),
        ({"betas": (1,)}, "2 values"),
        ({"flag": "perhaps"}, "true or false"),
    ],
)
def test_wrong_options_are_one_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TranslateError) as caught:
        checked(**options)
    assert message in str(caught.value)


def test_a_missing_option_is_named() -> None:
    with pytest.raises(TranslateError, match="net needs the option 'needed': a thing"):
        check_options({}, options_of(Network), "net")


def test_nearest_names() -> None:
    assert nearest("hing", ["hinge", "lsgan"]) == "did you mean hinge? (hinge, lsgan)"
    assert nearest("zzz", ["hinge"]) == "choose from hinge"


def test_a_preset_has_the_options_of_its_factory_with_other_defaults() -> None:
    class Whole:
        """A factory."""

        def __init__(
            self, parts: str, *, needed: str, weight: Annotated[float, Option("a weight", ge=0)] = 1.0, depth: int = 2
        ) -> None:
            self.found = (parts, needed, weight, depth)

    class Quick(Whole):
        __init__ = preset(Whole.__init__, weight=10.0)

    class Quicker(Quick):
        __init__ = preset(Quick.__init__, depth=1)

    assert Quick("p", needed="x").found == ("p", "x", 10.0, 2)
    assert Quicker("p", needed="x").found == ("p", "x", 10.0, 1)
    assert Quicker("p", needed="x", weight=3.0).found == ("p", "x", 3.0, 1)
    whole, quick = options_of(Whole), options_of(Quicker)
    assert [(each.name, each.kind, each.option) for each in quick.values()] == [
        (each.name, each.kind, each.option) for each in whole.values()
    ]
    assert [each.default for each in quick.values() if not each.required] == [10.0, 1]
    assert (quick["needed"].required, whole["weight"].default) == (True, 1.0)
    assert check_options({"needed": "x", "weight": "3"}, quick, "quicker")["weight"] == 3.0
    with pytest.raises(TranslateError, match="quicker: weight must be a number >= 0, not -1"):
        check_options({"needed": "x", "weight": -1}, quick, "quicker")
    with pytest.raises(TypeError, match=r"Whole\.__init__ has no option 'wieght'; did you mean weight"):
        preset(Whole.__init__, wieght=1)


def test_a_path_that_is_not_there_is_no_part() -> None:
    with pytest.raises(TranslateError, match=r"'runs/nope' is neither a file or folder that is there, nor a part"):
        parse_calls("runs/nope")


@pytest.mark.parametrize(
    ("text", "such_as"),
    [
        ("fid(weights=nope.pth)", "weights='nope.pth'"),
        ("fid(depth=7, weights=/a b/c.pth, norm=batch)", "weights='/a b/c.pth'"),
        ("mean(where=~/x)", "where='~/x'"),
        ("mean(rate=1e-3, kind=a-b)", "kind='a-b'"),
    ],
)
def test_what_lacks_its_quotes_is_shown_with_them(text: str, such_as: str) -> None:
    with pytest.raises(
        TranslateError, match=re.escape(f"lacks quotes around text that is no plain word; write {such_as}") + "$"
    ):
        parse_call(text)
    assert parse_call(such_as.join(("part(", ")"))).options


@pytest.mark.parametrize("text", ["unet(depth=", "unet(1)", "unet(rate=1.2.3)", "a b", "unet(a=-1, b=.5, c=(2, 3)"])
def test_what_is_no_call_for_another_reason_is_told_what_a_call_is(text: str) -> None:
    with pytest.raises(TranslateError, match="write it as a call with named options"):
        parse_call(text)
