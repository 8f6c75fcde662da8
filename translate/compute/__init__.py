"""How networks compute: arithmetic, memory layout, algorithms of convolutions, and compilation."""

from __future__ import annotations

from translate.compute.activations import PassBytes as PassBytes
from translate.compute.activations import peak_bytes as peak_bytes
from translate.compute.compilation import Compilation as Compilation
from translate.compute.compilation import Compile as Compile
from translate.compute.compiler import keep_compiled, missing_compiler
from translate.compute.convolutions import Convolutions as Convolutions
from translate.compute.convolutions import algorithms as algorithms
from translate.compute.convolutions import convolutions_of as convolutions_of
from translate.compute.convolutions import convolve_fast as convolve_fast
from translate.compute.flops import flops_of_step as flops_of_step
from translate.compute.matrices import product as product
from translate.compute.settings import MemoryFormat as MemoryFormat
from translate.compute.settings import Precision as Precision
from translate.compute.settings import lay_out as lay_out
from translate.compute.settings import memory_format_of as memory_format_of
from translate.compute.settings import precision_of as precision_of
from translate.compute.settings import recompute as recompute
from translate.compute.squares import Squares, has_few_outputs
from translate.compute.winograd import Tile, transform_weights, transformation_matrices

__all__ = [
    "Squares",
    "Tile",
    "has_few_outputs",
    "keep_compiled",
    "missing_compiler",
    "transform_weights",
    "transformation_matrices",
]
