"""Loggers: a training's log for TensorBoard, Weights & Biases, MLflow and Trackio."""

from __future__ import annotations

from collections.abc import Mapping

from translate import hookimpl


@hookimpl
def parts() -> Mapping[str, Mapping[str, str]]:
    """Open the kind, and offer four of it."""
    return {
        "loggers": {
            "tensorboard": "translate_loggers.tensorboard:TensorBoard",
            "wandb": "translate_loggers.wandb:Wandb",
            "mlflow": "translate_loggers.mlflow:MLflow",
            "trackio": "translate_loggers.trackio:Trackio",
        }
    }
