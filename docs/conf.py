"""Configuration of the documentation site: Sphinx with Furo, and Markdown by MyST.

The pages are also readable in the repository, so their links name files. Links to files outside
``docs/`` become links to pages of the site with the same contents, or to the repository. Links to
files that do not exist are warnings, which fail the build of `make docs`.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util import logging

from aiocache_pe import __version__

ROOT = Path(__file__).parents[1]
INCLUDED = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
"""Files of the repository, and the pages that include them."""
SAME = INCLUDED | {"README.md": "index.md", "ARCHITECTURE.md": "design/index.md"}
REPOSITORY = ""  # the address of the repository's files, once it is published

project = "aiocache_pe"
version = release = __version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
html_theme = "furo"
html_title = f"aiocache_pe {release}"
html_show_sphinx = False
html_copy_source = False
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
default_role = "py:obj"  # names in single backticks: code, and links to public names
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "inherited-members": False}
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_use_rtype = False
napoleon_use_ivar = True
napoleon_attr_annotations = True
copybutton_prompt_text = r"\$ "
copybutton_prompt_is_regexp = True
suppress_warnings = ["myst.header"]

LOGGER = logging.getLogger(__name__)
_LINK = re.compile(r"\[([^\]\n]+)\]\(([^)#\s:]+)(#[^)\s]*)?\)")


def setup(app: Sphinx) -> None:
    """Connect the change of links."""
    app.connect("source-read", relink_page)


def relink_page(app: Sphinx, name: str, source: list[str]) -> None:
    """Include files of the repository, and turn links to other files into links of the site."""
    folder = posixpath.dirname(f"docs/{name}")
    for file, page in INCLUDED.items():
        if page == f"{name}.md":
            source[0] = (ROOT / file).read_text(encoding="utf-8")
            folder = ""
    if not name.startswith("reference/"):
        source[0] = _LINK.sub(lambda match: _relink(match, folder, name), source[0])


def _relink(match: re.Match[str], folder: str, name: str) -> str:
    text, path, anchor = match[1], match[2], match[3] or ""
    target = posixpath.normpath(posixpath.join(folder, path))
    if target.startswith("docs/"):
        found = target.removeprefix("docs/")
    elif target in SAME:
        found = SAME[target]
    else:
        if not (ROOT / target).exists():
            LOGGER.warning("a link names no file of the repository: %s", match[0], location=name)
        return f"[{text}]({REPOSITORY}/{target})" if REPOSITORY else text
    return f"[{text}]({posixpath.relpath(found, posixpath.dirname(name) or '.')}{anchor})"
