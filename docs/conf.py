"""How the pages are built: `make docs`."""

import tirtrack

project = "tirtrack"
copyright = "2026, the tirtrack authors"
release = tirtrack.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_theme_options = {
    "description": "Better thermal infrared trackers from unlabelled RGB-TIR pairs",
    "page_width": "1080px",
    "fixed_sidebar": True,
}
autodoc_typehints = "description"
autodoc_member_order = "bysource"
suppress_warnings = ["myst.xref_missing"]
