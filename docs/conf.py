"""How the site is built: ``tox -e docs``, or ``sphinx-build -W --keep-going -b html docs out/docs``."""

import hashlib
import logging
import os
import sys
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]  # the extensions, and the reports beside the package
logging.getLogger("alembic").setLevel(logging.WARNING)  # Optuna's tables tell of their plugins, as Sphinx would then
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(HERE.parent), os.environ.get("PYTHONPATH"))))  # notebooks'

project = "discrete_vae"
author = "The discrete_vae developers"
version = release = metadata.version("discrete-vae")
language = "en"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinxcontrib.bibtex",
    "extensions.claims",
    "extensions.downloads",
    "extensions.mathml",
]
exclude_patterns = ["extensions"]

myst_enable_extensions = ["amsmath", "deflist", "dollarmath"]
myst_heading_anchors = 3  # [text](page.md#a-heading)

source = b"".join(path.read_bytes() for path in sorted((HERE.parent / "discrete_vae").rglob("*.py")))
nb_execution_mode = "cache"  # notebooks are committed without outputs; those that did not change are not run again
code = hashlib.sha256(source).hexdigest()[:16]  # a change of the code runs them all again
nb_execution_cache_path = str(HERE.parent / "out" / "notebooks" / code)
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_execution_timeout = 600  # seconds a cell, for a machine with much else to do
nb_merge_streams = True
nb_output_stderr = "remove"  # libraries' notes, which name paths; an error stops the build

autodoc_inherit_docstrings = False  # torch's are written for another site
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True  # names of defaults, as the source has them
autodoc_typehints_format = "short"
toc_object_entries_show_parents = "hide"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80

bibtex_bibfiles = ["../discrete_vae/references.bib"]
bibtex_reference_style = "author_year"
bibtex_default_style = "plain"

suppress_warnings = ["bibtex.missing_field"]  # the thesis is published without its school

html_theme = "furo"
html_title = f"discrete_vae {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_show_copyright = False  # the licence names the holders
html_copy_source = False  # it lies beside, in the repository
html_show_search_summary = False  # it fetches pages, which a browser refuses of files without a server
