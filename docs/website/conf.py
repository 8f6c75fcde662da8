"""How Sphinx makes the site of the documents: ``python -m sphinx -W -c docs/website . build/site``.

The sources are the Markdown pages where they lie, so that their links hold on a forge as well. Four things are made
meanwhile: the tables of contents, out of the links of each folder's README (``contents``); the reference of the
commands, out of the program (``command_reference``); that of Python, out of docstrings (``python_reference``); and
anchors as a forge has them.
"""

from __future__ import annotations

import sys
from pathlib import Path

from translate import __version__

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

project = "translate"
author = "the authors of translate"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "contents", "command_reference", "python_reference"]
root_doc = "docs/README"
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
include_patterns = [
    "docs/**.md",
    "docs/**.rst",
    "benchmarks/README.md",
    "examples/*/README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
]
# Folders that are never looked into: environments, caches, and what the programs have written.
exclude_patterns = [".*", "build", "demo", "runs", "tests", "translate", "plugins", "datasets"]

myst_heading_anchors = 4
myst_enable_extensions = ["html_image"]
smartquotes = False
highlight_language = "text"

nitpicky = True
# Other libraries' names are shown, and lead nowhere: their sites are not asked while this one is built.
nitpick_ignore_regex = [("py:.*", r"(?!translate\b).*")]
# What public functions take and return, and nobody has to name.
nitpick_ignore = [
    ("py:class", f"translate.{each}")
    for each in (
        "best.Best",
        "conversion.plan.Shard",
        "given.reading.Given",
        "given.tensors.Ready",
        "images.directories.Directory",
        "images.headers.HeldFile",
        "large.InParts",
        "method.M",
        "plugins.Catalog",
        "saved.Sampler",
        "taken.Taken",
    )
]

add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
# A table of contents with every function would be copied into every page, which takes a third of the time.
toc_object_entries = False

html_theme = "furo"
html_title = f"translate {__version__}"
html_static_path = ["static"]
html_css_files = ["site.css"]
templates_path = ["templates"]
# The address of the site itself leads to its start page.
html_additional_pages = {"index": "start.html"}
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
