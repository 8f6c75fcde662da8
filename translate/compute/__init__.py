"""How networks compute: arithmetic, memory layout, algorithms of convolutions, and compilation."""

from __future__ import annotations

from translate.compute.compilation import Compilation, Compile
from translate.compute.compiler import keep_compiled, missing_compiler
from translate.compute.convolutions import Convolutions, algorithms, convolutions_of, convolve_fast
from translate.compute.flops import flops_of_step
from translate.compute.matrices import product
from translate.compute.settings import MemoryFormat, Precision, lay_out, memory_format_of, precision_of, recompute
from translate.compute.squares import Squares, has_few_outputs
from translate.compute.winograd import Tile, transform_weights, transformation_matrices

__all__ = [
    "Compilation",
    "Compile",
    "Convolutions",
    "MemoryFormat",
    "Precision",
    "Squares",
    "Tile",
    "algorithms",
    "convolutions_of",
    "convolve_fast",
    "flops_of_step",
    "has_few_outputs",
    "keep_compiled",
    "lay_out",
    "memory_format_of",
    "missing_compiler",
    "precision_of",
    "product",
    "recompute",
    "transform_weights",
    "transformation_matrices",
]
