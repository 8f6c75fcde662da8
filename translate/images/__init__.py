"""Images: files to pixels and back, and stored values to the range of networks, [-1, 1].

Only this module handles bit depth and colour: ``load`` reads files, bytes, Pillow's images and arrays, ``write`` writes
files, and ``normalize`` and ``denormalize`` convert tensors on any device. Everything is stateless and thread-safe. The
functions on tensors are imported on first use, since the rest works without torch; two of them have twins of arrays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from translate.images.arrays import array_to_stored as array_to_stored
from translate.images.arrays import normalize_array as normalize_array
from translate.images.bands import Bands as Bands
from translate.images.bands import open_bands as open_bands
from translate.images.display import beside as beside
from translate.images.display import colours
from translate.images.display import displayed as displayed
from translate.images.display import in_limits as in_limits
from translate.images.display import reduced as reduced
from translate.images.encoding import WRITABLE
from translate.images.encoding import encode as encode
from translate.images.files import RowsFile as RowsFile
from translate.images.files import file_of as file_of
from translate.images.files import put as put
from translate.images.files import takes_rows as takes_rows
from translate.images.files import write
from translate.images.files import writing_rows as writing_rows
from translate.images.finding import READABLE, Found, count_left_out, find, survey, why_left_out
from translate.images.formats import Source, decode, load, load_indices, read, read_indices
from translate.images.frames import HOLDS as HOLDS
from translate.images.frames import Frame as Frame
from translate.images.frames import Frames as Frames
from translate.images.frames import survey_frames as survey_frames
from translate.images.frames import writing_frames as writing_frames
from translate.images.headers import Header, probe
from translate.images.headers import HeldFile as HeldFile
from translate.images.headers import suffix_of as suffix_of
from translate.images.npy import ArrayHeader, array_header
from translate.images.opening import ImageError, open_regular
from translate.images.pixels import as_channels, as_depth, read_example, resize, seen
from translate.images.pixels import is_opaque as is_opaque
from translate.images.pixels import made as made
from translate.images.pixels import opaque_inside as opaque_inside
from translate.images.planes import Image, indices, planes
from translate.images.scanning import Metadata, metadata
from translate.images.stored import stored_as
from translate.memory import MAX_PIXELS

if TYPE_CHECKING:
    from translate.images.tensors import denormalize, normalize, to_rgb, to_stored

__all__ = [
    "MAX_PIXELS",
    "READABLE",
    "WRITABLE",
    "ArrayHeader",
    "Found",
    "Header",
    "Image",
    "ImageError",
    "Metadata",
    "Source",
    "array_header",
    "as_channels",
    "as_depth",
    "colours",
    "count_left_out",
    "decode",
    "denormalize",
    "find",
    "indices",
    "load",
    "load_indices",
    "metadata",
    "normalize",
    "open_regular",
    "planes",
    "probe",
    "read",
    "read_example",
    "read_indices",
    "resize",
    "seen",
    "stored_as",
    "survey",
    "to_rgb",
    "to_stored",
    "why_left_out",
    "write",
]

_of_tensors = ("denormalize", "normalize", "to_rgb", "to_stored")


def __getattr__(name: str) -> Any:
    if name not in _of_tensors:
        raise AttributeError(f"module 'translate.images' has no attribute {name!r}")
    from translate.images import tensors

    return getattr(tensors, name)
