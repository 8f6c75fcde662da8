"""The thread beside the training's: order, errors, and copies of what goes on changing."""

from __future__ import annotations

import threading

import pytest
import torch

from translate.background import MOST, Background
from translate.checkpoint import snapshot


def test_jobs_run_in_their_order_beside_the_caller() -> None:
    gate, done = threading.Event(), []
    with Background() as beside:
        beside.begin(lambda: done.append(gate.wait(10)))
        beside.begin(lambda: done.append(threading.current_thread() is not threading.main_thread()))
        assert not done
        gate.set()
    assert done == [True, True]


def test_who_is_too_fast_waits() -> None:
    done: list[int] = []
    with Background() as beside:
        for number in range(MOST + 3):
            beside.begin(lambda number=number: done.append(number))  # type: ignore[misc]
            assert len(done) >= number + 1 - MOST
        beside.finish()
        assert done == list(range(MOST + 3))


def test_what_a_job_raises_is_raised_where_it_is_noticed() -> None:
    def fail() -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), Background() as beside:
        beside.begin(fail)
    with Background() as beside:
        beside.begin(fail)
        with pytest.raises(OSError, match="disk full"):
            beside.finish()
        beside.begin(lambda: None)


def test_after_an_error_what_has_begun_is_still_done() -> None:
    started, gate, done = threading.Event(), threading.Event(), []

    def write() -> None:
        started.set()
        gate.wait(10)
        done.append("written")

    with pytest.raises(KeyboardInterrupt), Background() as beside:  # noqa: PT012
        beside.begin(write)
        beside.begin(lambda: done.append("never"))
        started.wait(10)
        threading.Timer(0.05, gate.set).start()
        raise KeyboardInterrupt
    assert done == ["written"]


def test_a_snapshot_stays_and_what_shares_memory_shares_its_copy() -> None:
    weight = torch.ones(2, 3, 2, 2).to(memory_format=torch.channels_last)
    copies = snapshot({"a": weight, "b": weight, "view": weight[0]})
    weight.zero_()
    assert copies["a"] is copies["b"]
    assert copies["a"].is_contiguous()
    assert copies["view"].data_ptr() != copies["a"].data_ptr()
    assert all(bool((value == 1).all()) for value in copies.values())
