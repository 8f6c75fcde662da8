"""The rows of the digits' table, by family: method, data, options and what is measured."""

from benchmarks.quality.rows import autoencoders, between, bridge, cgan, few_labels, judges, pairs, stargan
from benchmarks.quality.rows.row import Row

ROWS: dict[str, Row] = {
    **judges.ROWS,
    **few_labels.ROWS,
    **autoencoders.ROWS,
    **between.ROWS,
    **pairs.ROWS,
    **bridge.ROWS,
    **stargan.ROWS,
    **cgan.ROWS,
}
"""All rows, in the order of the table."""

__all__ = ["ROWS", "Row"]
