"""Opening: the one line by which a training begins, which says where and how it computes."""

from __future__ import annotations

import torch

from translate.compute import Compile
from translate.machine import cpu_model
from translate.run import Run
from translate.setup import Setup, is_recorded


def opening_line(setup: Setup, run: Run, compiled: Compile) -> str:
    """Images, steps, device with its name, precision, and whether networks are compiled and steps recorded."""
    config, device = setup.config, setup.engine.device
    if device.type == "cuda":
        where = f"{device} ({torch.cuda.get_device_name(device)})"
    else:
        threads = torch.get_num_threads()
        where = f"{device} ({cpu_model()}, {threads} thread{'s' if threads > 1 else ''})"
    compiling = {"yes": "compiled", "no": "not compiled", "auto": "compiled if that measures faster"}[compiled]
    how = [config.precision, compiling, *(["CUDA graphs"] if is_recorded(config, device, setup.group) else [])]
    each = config.batch * config.accumulate * setup.group.size
    steps = f"{run.steps:,} steps" if run.step == 0 else f"steps {run.step + 1:,} to {run.steps:,}"
    steps = f"all {run.steps:,} steps done" if run.step == run.steps else f"{steps} of {each}"
    return (
        f"training: {setup.epoch_length:,} images an epoch, {steps}, "
        f"on {f'{setup.group.size} x ' if setup.group.size > 1 else ''}{where}, {', '.join(how)}"
    )
