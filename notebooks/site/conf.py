"""How the site is built: the executed notebooks, a gallery of the artefacts, the ledger, and the API.

Nothing is executed. No page asks anything of another machine: MathJax, which draws the formulas, is part of the site.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode
from collections import Counter
from importlib.resources import files
from pathlib import Path

import nbformat
from docutils import nodes
from sphinx.application import Sphinx

from nas_core import papers
from nas_core.claims.verdict import VERDICTS
from nas_core.driver.gallery import count_words, gallery, rows
from nas_core.driver.ledger import ledger

NOTEBOOKS = Path(__file__).resolve().parents[1]
FIGURES = NOTEBOOKS.parent / "figures"
PAPERS = {
    "snas": "SNAS",
    "wiring": "Wiring evolution, its poster, and DSNAS",
    "mixpath": "MixPath",
    "darts-proxylessnas": "DARTS and ProxylessNAS",
    papers.STUDY: "Studies of our own",
    papers.OWN: "Claims of our own",
}
MATHJAX = Path(str(files("mathjax"))) / "static" / "mathjax" / "es5" / "tex-svg.js"  # one file, which needs no fonts
COLOURS = {"holds": "success", "fails": "danger", "inconclusive": "warning"}  # of badges; other verdicts are grey
TEMPLATES = {"index", "site/gallery", "site/ledger"}  # pages that are filled in from the figures

project = "Five papers on neural architecture search"
html_title = project
extensions = ["myst_nb", "sphinx_design", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.viewcode"]
exclude_patterns = ["**/.ipynb_checkpoints", "site/templates"]
templates_path = [str(Path(__file__).parent / "templates")]

html_theme = "furo"
html_static_path = ["static", str(MATHJAX)]
html_css_files = ["site.css"]
html_js_files = [("filter.js", {"defer": "defer"})]
mathjax_path = MATHJAX.name
html_show_search_summary = False  # it would be fetched, which browsers refuse for files
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
pygments_style = "friendly"
pygments_dark_style = "native"

nb_execution_mode = "off"
nb_merge_streams = True
nb_ipywidgets_js = {}  # they would come from the network: an explorer's picture is shown instead
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_default_options = {"members": True, "ignore-module-all": True}
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
add_module_names = False


def fill_in(app: Sphinx, docname: str, source: list[str]) -> None:
    """Make the text of a page that is a template."""
    if docname not in TEMPLATES:
        return
    app.env.note_reread()  # when the site is built again: the figures may be others
    claims = rows(ledger(FIGURES))
    values = {
        "items": gallery(FIGURES),
        "claims": claims,
        "verdicts": Counter(claim["verdict"] for claim in claims),
        "papers": PAPERS,
        "colours": {verdict: COLOURS.get(verdict, "secondary") for verdict in VERDICTS},
        "grades": papers.GRADES,
        "words": count_words,
        "notebooks": sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")),
    }
    source[0] = app.builder.templates.render_string(source[0], values)


def alt_texts() -> dict[str, str]:
    """What the notebooks say in words about their pictures, by the checksum that myst-nb names them by."""
    found = {}
    for path in NOTEBOOKS.glob("*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            for output in cell.get("outputs", []):
                alt = output.get("metadata", {}).get("image/png", {}).get("alt")
                if alt:
                    found[hashlib.sha256(b64decode(output.data["image/png"])).hexdigest()] = alt
    return found


def describe_pictures(app: Sphinx, doctree: nodes.document) -> None:
    """Give the pictures of notebooks their alt text, which myst-nb leaves out."""
    texts = alt_texts()
    for image in doctree.findall(nodes.image):
        name = Path(image["uri"]).stem
        if name in texts:
            image["alt"] = texts[name]


def setup(app: Sphinx) -> None:
    app.connect("source-read", fill_in)
    app.connect("doctree-read", describe_pictures)
