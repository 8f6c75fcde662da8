"""The changes of a run: what is recorded is read again, and a damaged record is told and left alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from translate import changes
from translate.changes import Change
from translate.errors import TranslateError


def test_changes_are_read_as_they_were_recorded_in_their_order(tmp_path: Path) -> None:
    assert changes.read(tmp_path) == []
    first = changes.record(tmp_path, 3, "optimizer", ["adam"], ["adam(lr=0.1)", "discriminator=sgd"])
    changes.record(tmp_path, 2**40, "save_every", None, 5)
    changes.record(tmp_path, 2, "graphs", True, False)
    assert changes.read(tmp_path) == [first, Change(2**40, "save_every", None, 5), Change(2, "graphs", True, False)]
    assert [str(each) for each in changes.read(tmp_path)] == [
        "optimizer adam -> adam(lr=0.1), discriminator=sgd from step 3 on",
        f"save_every none -> 5 from step {2**40} on",
        "graphs yes -> no from step 2 on",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["changes.json"]


def test_changes_after_the_step_that_a_run_goes_on_from_hold_from_there(tmp_path: Path) -> None:
    for step in (2, 5, 7):
        changes.record(tmp_path, step, "ema", step, step + 1)
    before = (tmp_path / "changes.json").read_bytes()
    assert changes.rewind(tmp_path, 7) == []
    assert (tmp_path / "changes.json").read_bytes() == before
    assert [each.before for each in changes.rewind(tmp_path, 4)] == [5, 7]
    assert [(each.step, each.before) for each in changes.read(tmp_path)] == [(2, 2), (4, 5), (4, 7)]


ONE = {"step": 1, "what": "ema", "before": 0.0, "after": 0.9}


@pytest.mark.parametrize(
    "content",
    [
        "", "[]", "{}", "\x00", '{"changes": 1}', '{"changes": [1]}', '{"changes": [{"step": 1}]}',
        json.dumps({"changes": [ONE | {"step": -1}]}),
        json.dumps({"changes": [ONE | {"step": "1"}]}),
        json.dumps({"changes": [ONE | {"what": "a\x1b[2J"}]}),
        json.dumps({"changes": [ONE | {"more": 1}]}),
        json.dumps({"changes": [ONE], "more": 1}),
        json.dumps({"changes": [ONE | {"after": float("nan")}]}),
    ],
)  # fmt: skip
def test_a_damaged_record_is_told_and_kept(content: str, tmp_path: Path) -> None:
    path = tmp_path / "changes.json"
    path.write_text(content, encoding="utf-8")
    calls: list[Any] = [
        lambda: changes.read(tmp_path),
        lambda: changes.record(tmp_path, 1, "ema", 0, 1),
        lambda: changes.rewind(tmp_path, 0),
    ]
    for call in calls:
        with pytest.raises(TranslateError, match="changes.json is damaged") as told:
            call()
        assert "\n" not in str(told.value)
    assert path.read_text(encoding="utf-8") == content


def test_a_record_that_cannot_be_read_or_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "changes.json").mkdir()
    with pytest.raises(TranslateError, match=r"changes\.json"):
        changes.read(tmp_path)
    with pytest.raises(TranslateError, match=r"cannot write .*changes\.json"):
        changes.record(tmp_path / "gone", 1, "ema", 0, 1)
