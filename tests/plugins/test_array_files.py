"""Files of arrays: each is judged by its header, within the memory that may be used, or refused in one sentence."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from translate import images
from translate.errors import TranslateError
from translate.memory import Budget, limits
from translate_datasets import recognize
from translate_datasets.array_files import header_of, load, places
from translate_datasets.arrays import arrays

MEGABYTE = 2**20
quick = settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])


def header(shape: Any, descr: str = "|u1", *, fortran: bool = False) -> bytes:
    """A header that says what it is told to."""
    data = io.BytesIO()
    np.lib.format.write_array_header_1_0(data, {"descr": descr, "fortran_order": fortran, "shape": shape})
    return data.getvalue()


def packed(path: Path, members: dict[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", kind) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def small() -> bytes:
    data = io.BytesIO()
    np.save(data, np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4))
    return data.getvalue()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no FIFOs here")
@pytest.mark.parametrize("name", ["a.npz", "a.npy"])
def test_a_pipe_is_refused_at_once(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    assert recognize(tmp_path) == (["arrays"] if name == "a.npz" else [])
    with pytest.raises(TranslateError, match=r"is a pipe \(FIFO\), not a regular file|is neither a file nor a folder"):
        arrays(tmp_path / name)
    with pytest.raises(TranslateError, match=r"is a pipe \(FIFO\)|name two as arrays"):
        arrays(tmp_path)
    with pytest.raises(TranslateError, match=r"is a pipe \(FIFO\)"):
        header_of((tmp_path / name, "a" if name == "a.npz" else ""))


def test_what_unpacks_to_more_than_may_be_used_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file, file.open("source.npy", "w") as member:
        member.write(header((64, 1024, 1024)))
        for _ in range(64):
            member.write(bytes(MEGABYTE))
    assert path.stat().st_size < MEGABYTE // 8
    with limits(32 * MEGABYTE, None), pytest.raises(TranslateError, match=r"a\.npz has the shape .* needs 64 MB"):
        arrays(path, source="source")
    with limits(100 * MEGABYTE, None):
        assert len(arrays(path, source="source").splits["train"]["source"]) == 58
    budget = Budget(100 * MEGABYTE)
    load((path, "source"), budget)
    with pytest.raises(TranslateError, match="does not fit beside the others"):
        load((path, "source"), budget)


def test_many_planes_are_judged_by_the_header(tmp_path: Path) -> None:
    with (tmp_path / "source.npy").open("wb") as sparse:
        sparse.write(header((2, 500, 500, 3000), "<f8"))
        sparse.truncate(sparse.tell() + 2 * 500 * 500 * 3000 * 8)
    with limits(1024 * MEGABYTE, None), pytest.raises(TranslateError, match=r"\(500, 500, 3000\) and needs .* memory"):
        arrays(tmp_path, source="source")
    np.save(tmp_path / "other.npy", np.zeros((1, 500, 500), np.uint8))
    with limits(None, 1000), pytest.raises(TranslateError, match="500 x 500 pixels, more than the limit of 1000"):
        arrays(tmp_path, source="other")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (header((2, 4, 4)), "holds 0 of 32 bytes"),
        (header((-1, 4, 4)) + bytes(32), r"\(-1, 4, 4\) in its header"),
        (header((10**30, 4, 4)) + bytes(32), "of 16000000000000000000000000000000 bytes"),
        (header((2, 4, 4), "|O") + bytes(800), "holds Python objects"),
        (header((2, 4, 4), "<M8[s]") + bytes(800), "values of type datetime64"),
        (header((2, 4, 4), "<c8") + bytes(800), "complex64"),
        (header((2, 4, 4), [("a", "<f4"), ("b", "|u1")]) + bytes(800), "holds records"),  # type: ignore[arg-type]
        (header((2, 4, 4), "|S0"), "values of type"),
        (header(()) + bytes(1), r"the shape \(\)"),
        (header((0, 4, 4)), r"the shape \(0, 4, 4\)"),
        (b"\x93NUMPY\x09\x00" + bytes(100), r"version is 9\.0"),
        (b"", "cannot be read"),
        (small()[:-1], "holds 31 of 32 bytes"),
    ],
)
def test_a_header_that_lies_or_holds_no_pixels_is_refused(tmp_path: Path, data: bytes, sentence: str) -> None:
    (tmp_path / "a.npy").write_bytes(data)
    packed(tmp_path / "b.npz", {"b.npy": data})
    for name in ("a", "b.npz:b"):
        with pytest.raises(TranslateError, match=sentence) as caught:
            arrays(tmp_path, source=name)
        assert "\n" not in str(caught.value)


def test_orders_of_bytes_and_axes(tmp_path: Path) -> None:
    stored = np.arange(2 * 3 * 4, dtype=np.uint16).reshape(2, 3, 4) * 1000
    kinds: dict[str, NDArray[Any]] = {
        "big": stored.astype(">u2"), "fortran": np.asfortranarray(stored), "plain": stored,
        "both": np.asfortranarray(stored.astype(">u2")),
    }  # fmt: skip
    for name, array in kinds.items():
        np.save(tmp_path / f"{name}.npy", array)
    np.savez_compressed(tmp_path / "all.npz", **kinds)
    for name in [*kinds, *(f"all.npz:{name}" for name in kinds)]:
        dataset = arrays(tmp_path, source=name, holdout=0)
        found = [
            images.read_example(each, dataset.domains["source"])[..., 0] for each in dataset.splits["train"]["source"]
        ]
        assert np.array_equal(found, stored), name


def test_zip_files_of_other_kinds(tmp_path: Path) -> None:
    packed(tmp_path / "a.npz", {"a.png": b"", "folder/": b""})
    with pytest.raises(TranslateError, match=r"a\.npz is no \.npz file: it is a zip file without arrays"):
        arrays(tmp_path)
    (tmp_path / "a.npz").unlink()
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as file:
        file.writestr("source.npy", small())
        with pytest.warns(UserWarning, match="Duplicate"):
            file.writestr("source.npy", small())
    with pytest.raises(TranslateError, match=r"b\.npz holds more than one array 'source'"):
        arrays(tmp_path)
    packed(tmp_path / "b.npz", {"in/train_source.npy": small(), "notes.txt": b"x"})
    assert set(places(tmp_path)) == {"in/train_source", "b.npz:in/train_source"}
    assert len(arrays(tmp_path, source="in/source").splits["train"]["source"]) == 2


@quick
@given(at=st.integers(0, 400), value=st.integers(0, 255), cut=st.integers(0, 400), kind=st.sampled_from([0, 8]))
def test_damage_is_one_sentence(tmp_path: Path, at: int, value: int, cut: int, kind: int) -> None:
    path = packed(tmp_path / "a.npz", {"source.npy": small()}, kind)
    whole = path.read_bytes()
    for suffix, data in ((".npz", whole), (".npy", small())):
        harmed = bytearray(data)
        harmed[at % len(harmed)] = value
        for damaged in (bytes(harmed), data[: cut % len(data)]):
            file = tmp_path / f"source{suffix}"
            file.write_bytes(damaged)
            try:
                found = arrays(file, source="source")
                assert all(
                    images.read_example(each, found.domains["source"]).size for each in found.splits["train"]["source"]
                )
            except TranslateError as error:
                assert "\n" not in str(error)
            file.unlink()
