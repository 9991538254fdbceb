"""Settings of Sphinx for the site, which ``build_site.py`` beside it builds."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from docstrings import process

from pxgen_plugins import __version__

project = "PXGen plugins"
author = "The PXGen plugins contributors"
copyright = author
version = release = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb", ".ipynb": "myst-nb"}
root_doc = "index"

# Notebooks are committed with their outputs, and tests execute them: nothing runs in a build.
nb_execution_mode = "off"
nb_output_stderr = "remove"
nb_merge_streams = True
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
# Pages made by programs begin below their page's title.
suppress_warnings = ["myst.header"]

napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_attr_annotations = False
napoleon_custom_sections = [("Fields", "params_style")]  # of the data that an adapter returns
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
maximum_signature_line_length = 80
add_module_names = False

# The pages stay on the machine of the reader: system fonts, scripts of the theme and of Sphinx.
html_theme = "furo"
html_title = "PXGen plugins"
html_static_path: list[str] = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}
pygments_style = "friendly"
pygments_dark_style = "native"


def setup(app: Any) -> None:
    """Mend docstrings before napoleon reads them."""
    app.connect("autodoc-process-docstring", process, priority=400)
