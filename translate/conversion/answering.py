"""The network's part of a conversion, without threads: decoded images become answers, one batch at a time."""

from __future__ import annotations

import time
from collections.abc import Sequence

from translate.conversion.batch import Answer, Decoded, Work
from translate.conversion.on_arrays import answer_arrays
from translate.programs import ArrayTranslator


def translate(decoded: Sequence[Decoded], work: Work) -> list[Answer]:
    """Translate images of one bucket as one batch; each output is cropped to its image's size."""
    begun = time.perf_counter()
    if isinstance(work.translator, ArrayTranslator):
        answers = answer_arrays(decoded, work, work.translator)
    else:
        # Imported here, so that what is converted without torch does not import it.
        from translate.conversion.on_tensors import answer_tensors

        answers = answer_tensors(decoded, work, work.translator)
    for each in decoded:
        work.stages.add(each.task.source, "translate", (time.perf_counter() - begun) / len(decoded))
    return answers
