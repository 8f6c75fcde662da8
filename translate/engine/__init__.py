"""The engine: takes a method's updates, back-propagates each into its player, and steps that player's optimizer."""

from __future__ import annotations

from translate.engine.capture import Graph, cuda_graphs
from translate.engine.players import MethodError
from translate.engine.state import takes_state
from translate.engine.step import Engine, Schedule

__all__ = ["Engine", "Graph", "MethodError", "Schedule", "cuda_graphs", "takes_state"]
