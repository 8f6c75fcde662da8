"""Weights of published networks: files of tensors by name, read without running code from them."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from translate.errors import TranslateError
from translate.paths import expanded

__all__ = [
    "read_weights",
]

CHUNK = 2**20
"""How many bytes are read at a time to check them."""


def read_weights(network: nn.Module, path: Path, what: str, *, also: Mapping[str, Sequence[int]] | None = None) -> None:
    """Load a network's parameters and buffers from a ``.safetensors`` or ``.pth`` file that has them by name.

    Further tensors of the file are passed over. ``what`` says whose weights they must be, with a hint after a semicolon
    if need be. ``also`` are further tensors that the file must hold, with their shapes, by which it is told from the
    files of other networks. Raises ``TranslateError`` if a tensor is missing, has another shape or is not finite, or if
    the file cannot be read without running code from it.
    """
    whose, _, hint = what.partition("; ")
    cure = hint or f"give the file of {whose}"
    found = tensors_of(path, cure if hint else "")
    wanted = network.state_dict()
    for name, shape in {**{name: tensor.shape for name, tensor in wanted.items()}, **(also or {})}.items():
        if name not in found or tuple(found[name].shape) != tuple(shape) or not _is_plain(found[name]):
            raise TranslateError(
                f"{path} does not hold the weights of {whose}: {name} is missing or has another shape; {cure}"
            )
        if not bool(torch.isfinite(found[name]).all()):
            raise TranslateError(f"{path} is damaged: {name} holds values that are not finite; fetch it anew")
    network.load_state_dict({name: found[name] for name in wanted})


def _is_plain(tensor: Tensor) -> bool:
    """Whether a tensor holds real numbers, one beside the other."""
    return tensor.layout == torch.strided and not (tensor.is_quantized or tensor.is_complex() or tensor.is_meta)


def let_read(network: nn.Module, weights: object, name: str) -> None:
    """Let a network read its file of weights, if one is given; its errors become a sentence that names the part."""
    if weights in (None, "none"):
        return
    if not callable(getattr(network, "read", None)):
        raise TranslateError(
            f"{name} has an option weights, but its {type(network).__name__} has no method read(weights), so that "
            f"{weights} would not be read; leave the option out, or give it that method"
        )
    try:
        network.read(expanded(str(weights)))  # type: ignore[operator]
    except TranslateError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise TranslateError(f"{weights} is not read as the weights of {name}: {reason}; give another file") from error


def tensors_of(path: Path, cure: str = "") -> Mapping[str, Tensor]:
    """The tensors of a file by name; a ``.pth`` is read with ``weights_only``, so no code from it is run.

    ``cure`` says which file to give instead of one of another kind.
    """
    if not path.is_file():
        raise TranslateError(f"there is no file of weights at {path}; give the option weights a file that is there")
    try:
        path.open("rb").close()
    except OSError as error:
        raise TranslateError(f"cannot read the weights at {path}: {error.strerror}; check its permissions") from None
    cure = cure or "give a .safetensors, or a .pth that holds a state_dict"
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            found: object = load_file(path)
        else:
            check_archive(path, cure)
            found = torch.load(path, map_location="cpu", weights_only=True)
    except TranslateError:
        raise
    except Exception:
        # torch and safetensors raise many types of errors; some messages suggest unsafe loading.
        raise TranslateError(
            f"{path} is no file of tensors that can be read without running code from it; {cure}"
        ) from None
    if not isinstance(found, Mapping) or not all(isinstance(tensor, Tensor) for tensor in found.values()):
        raise TranslateError(f"{path} holds something else than tensors by name; give the file of a state_dict")
    return found


def check_archive(path: Path, cure: str) -> None:
    """Refuse archives that are no file of tensors, that would unpack to more than they are, or that are damaged.

    ``cure`` says what to give instead of a program.
    """
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise TranslateError(f"{path} is damaged: its table of contents cannot be read; get it anew") from None
    if any("/code/" in each.filename or each.filename.endswith("constants.pkl") for each in members):
        raise TranslateError(f"{path} is a TorchScript program, which is code; {cure}")
    size = path.stat().st_size
    if sum(each.file_size for each in members) > size or any(each.compress_type for each in members):
        raise TranslateError(f"{path} unpacks to more than it holds, which no file of torch does; get it anew")
    _check_sums(path, members)


def _check_sums(path: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    """Refuse an archive in which a byte has changed, which torch does not look at."""
    try:
        with zipfile.ZipFile(path) as archive:
            for each in members:
                # Torch can leave the checksums out, and then writes zeros.
                if each.CRC:
                    with archive.open(each) as file:
                        while file.read(CHUNK):
                            pass
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError, EOFError):
        raise TranslateError(f"{path} is damaged: its bytes do not fit their checksums; get it anew") from None
