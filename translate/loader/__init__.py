"""The loader: turns a data set's examples into batches on the device, and decodes examples for other verbs."""

from __future__ import annotations

from translate.loader.batches import Cache, Loader
from translate.loader.cache import Resize, decode_all, normalize, planes
from translate.loader.left_out import Broken as Broken
from translate.loader.left_out import BrokenImagesError, LeftOut
from translate.loader.preview import Preview, preview_batch
from translate.loader.thumbnails import thumbnails

__all__ = [
    "BrokenImagesError",
    "Cache",
    "LeftOut",
    "Loader",
    "Preview",
    "Resize",
    "decode_all",
    "normalize",
    "planes",
    "preview_batch",
    "thumbnails",
]
