"""A bucket of images as one batch of arrays, translated without torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from translate import images
from translate.conversion.batch import Answer, Decoded, Work, image_seed, source_of
from translate.programs import ArrayTranslator, stacked


def answer_arrays(decoded: Sequence[Decoded], work: Work, translator: ArrayTranslator) -> list[Answer]:
    """Translate images of one bucket as a whole."""
    stack = np.stack([each.pixels for each in decoded]).transpose(0, 3, 1, 2)
    batch = images.normalize_array(stack, source_of(decoded[0], translator))
    given = stacked([each.given for each in decoded], translator.taken)
    seeds = [image_seed(work.seed, each.task.name) for each in decoded]
    made = translator.translate(batch, samples=work.samples, seed=seeds, given=given)
    answers = []
    for each, rows in zip(decoded, made.reshape(len(decoded), -1, *made.shape[1:]), strict=True):
        kept = rows[..., : each.size[0], : each.size[1]]
        stored = images.array_to_stored(kept, translator.target, each.depth)
        finite = bool(np.isfinite(kept).all())
        answers.append(Answer(each.task, stored, finite, each.alpha, each.metadata, each.shown, known=each.known))
    return answers
