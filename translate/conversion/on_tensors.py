"""A bucket of images as one batch of tensors, translated on the translator's device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from translate import images
from translate.conversion.batch import Answer, Decoded, Translating, Work, decode, image_seed, source_of
from translate.conversion.parts import translate_in_parts
from translate.conversion.plan import Task
from translate.data import Domain
from translate.errors import TranslateError
from translate.given import Ready, stacked
from translate.programs import ArrayTranslator


def answer_tensors(decoded: Sequence[Decoded], work: Work, translator: Translating) -> list[Answer]:
    """Translate images of one bucket, as a whole or one by one in parts."""
    if decoded[0].algorithm != "whole":
        return [_answer_in_parts(each, work) for each in decoded]
    with torch.inference_mode():
        batch = _stacked(decoded, translator)
        further: dict[str, Any] = {"seed": image_seed(work.seed, decoded[0].task.name)}
        if getattr(translator, "takes_noise", False):
            further["seed"] = [image_seed(work.seed, each.task.name) for each in decoded]
        if work.given:
            tensors = stacked([each.given for each in decoded], work.given.taken, translator.device)
            further["given"] = Ready(work.given.options, tensors)
        answers = translator.translate(batch, samples=work.samples, **further)
        rows = answers.reshape(len(decoded), -1, *answers.shape[1:])
        return [_answer(each, row, translator.target) for each, row in zip(decoded, rows, strict=True)]


def calibration_image(task: Task, work: Work) -> Tensor:
    """An image as a batch of one in [-1, 1]."""
    translator = work.translator
    assert not isinstance(translator, ArrayTranslator)
    return _stacked([decode(task, work)], translator)


def _stacked(decoded: Sequence[Decoded], translator: Translating) -> Tensor:
    """Images of one bucket as a batch (N, C, H, W) in [-1, 1] on the translator's device."""
    stack = np.stack([each.pixels for each in decoded]).transpose(0, 3, 1, 2)
    stored = torch.from_numpy(np.ascontiguousarray(stack)).to(translator.device)
    return images.normalize(stored, source_of(decoded[0], translator))


def _answer(decoded: Decoded, row: Tensor, target: Domain) -> Answer:
    height, width = decoded.size
    row = row[..., :height, :width]
    stored = images.to_stored(row, target, decoded.depth)
    finite = torch.isfinite(row).all()
    return Answer(decoded.task, stored, finite, decoded.alpha, decoded.metadata, decoded.shown, known=decoded.known)


def _answer_in_parts(decoded: Decoded, work: Work) -> Answer:
    algorithm = decoded.algorithm
    assert algorithm != "whole"
    try:
        stored, finite, written = translate_in_parts(decoded, work, algorithm)
    except images.ImageError:
        raise
    except TranslateError as error:
        raise TranslateError(f"{decoded.task.source}: {error}") from None
    return Answer(decoded.task, stored, finite, decoded.alpha, decoded.metadata, decoded.shown, algorithm, written)
