"""Contracts of the plugin, and where its gradients go."""

from __future__ import annotations

from typing import Any

import torch

from translate.testing import check_plugin

SMALL = "selfsame(generator='shallow(width=4)', discriminator='patch(width=4, receptive_field=16)', width=4)"


def test_contracts() -> None:
    check_plugin("selfsame", examples={"selfsame": SMALL})


def test_a_run_logs_the_joint_terms_and_the_change(tmp_path: Any) -> None:
    import translate

    run = translate.fit(
        "selfsame", "demo(size=32, count=4)", output=tmp_path / "run", size=32, steps=2, batch=2, log_every=1,
        generator="shallow(width=4)", discriminator="patch(width=4, receptive_field=16)",
    )  # fmt: skip
    assert {"generator+predictor/selfsame", "generator+predictor/adversarial"} < run.metrics[-1].keys()
    assert any(name.endswith("/change") for name in run.metrics[-1])
    assert torch.isfinite(torch.tensor(run.metrics[-1]["generator+predictor/selfsame"]))
