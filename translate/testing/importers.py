"""The contract check of importers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from translate.errors import TranslateError
from translate.foreign import Foreign
from translate.parts import build
from translate.plugins import discover


def check_importer(part: str, *, plugins: Sequence[str] = (), example: Mapping[str, Tensor] | None = None) -> None:
    """Check that an importer refuses what nobody's generator is, in one sentence.

    With the state dict of a network that it knows, ``example``, it must answer a network and leave the tensors as they
    are.
    """
    catalog = discover(extra=plugins)
    strange: Sequence[Mapping[str, Tensor]] = (
        {},
        {"weight": torch.ones(())},
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).state_dict(),
    )
    for tensors in strange:
        try:
            found = build(catalog, "importers", part, tensors=dict(tensors), direction="forward")
        except TranslateError as error:
            reason = str(error)
        except Exception as error:
            raise AssertionError(
                f"{part}: what it does not recognize must be refused by a TranslateError, not {type(error).__name__}"
            ) from error
        else:
            raise AssertionError(f"{part}: it takes {sorted(tensors)} for a network, {found!r:.80}")
        assert reason.strip(), f"{part}: a refusal says why"
        assert "\n" not in reason, f"{part}: a refusal is one sentence"
    if example is not None:
        before = {name: tensor.clone() for name, tensor in example.items()}
        found = build(catalog, "importers", part, tensors=dict(example), direction="forward")
        assert isinstance(found, Foreign), (
            f"{part}: its answer is a {type(found).__name__}, where a Foreign is expected"
        )
        assert found.summary, f"{part}: the summary says what the network was taken for"
        assert all(torch.equal(before[name], tensor) for name, tensor in example.items()), f"{part}: it changes tensors"
