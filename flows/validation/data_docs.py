"""Make Great Expectations' data docs safe and useful without a network.

As built they load styles, scripts and a counted logo from a dozen hosts, and their index is blank until those
scripts have run. Pages that hold user text should do none of that.
"""

import shutil
from collections.abc import Sequence
from html import escape
from pathlib import Path

from flows.validation.report import Finding

# The browser may load nothing from anywhere and run no script, not even one inside the text of a pair.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
a { color: #0b57d0; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1.5rem; }
td, th { border-bottom: 1px solid #ddd; padding: .35rem .6rem; text-align: left; vertical-align: top; }
.alert { background: #f2f4f7; border-radius: 4px; padding: .5rem .8rem; margin-top: 1rem; }
h4, h5, h6, p { margin: .3rem 0; }
.fa-times::before { content: "\\2718"; color: #b3261e; }
.fa-check-circle::before { content: "\\2714"; color: #1e7d32; }
.fa-exclamation-triangle::before { content: "\\26A0"; color: #b26a00; }
.critical { color: #b3261e; font-weight: 600; }
.warning { color: #b26a00; font-weight: 600; }
footer, img, .sticky, .btn, [data-toggle="collapse"] { display: none; }
"""
_HEAD = f'<head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{_POLICY}">'


def seal(site: Path, title: str, findings: Sequence[Finding]) -> None:
    """Forbid every page of `site` to load or run anything, and replace its index by one that needs no script."""
    shutil.rmtree(site / "static", ignore_errors=True)  # fonts and pictures that the pages may no longer load
    pages = sorted(path for path in site.rglob("*.html") if path != site / "index.html")
    for page in pages:
        text = page.read_text("utf-8")
        if "<head>" not in text:
            raise ValueError(f"{page.name} of the data docs has no <head>: has Great Expectations' template changed?")
        text = text.replace("<head>", _HEAD, 1).replace("</head>", f"<style>{_STYLE}</style></head>", 1)
        page.write_text(text, "utf-8")
    (site / "index.html").write_text(_index(site, title, findings, pages), "utf-8")


def _index(site: Path, title: str, findings: Sequence[Finding], pages: Sequence[Path]) -> str:
    rows = [
        f'<tr><td class="{finding.severity}">{finding.severity}</td><td>{escape(finding.description)}</td>'
        f"<td>{escape(finding.observed)}</td></tr>"
        for finding in findings
    ]
    table = "<tr><th>severity</th><th>expected</th><th>observed</th></tr>" + "".join(rows)
    links = {
        heading: "".join(
            f'<li><a href="{escape(page.relative_to(site).as_posix())}">{escape(_suite(page, site))}</a></li>'
            for page in pages
            if page.is_relative_to(site / folder)
        )
        for heading, folder in (("Results", "validations"), ("Suites", "expectations"))
    }
    return (
        f'<!DOCTYPE html><html lang="en">{_HEAD}<title>{escape(title)}</title><style>{_STYLE}</style></head><body>'
        f"<h1>{escape(title)}</h1>"
        + (f"<h2>Not met</h2><table>{table}</table>" if rows else "<p>Every expectation was met.</p>")
        + "".join(f"<h2>{heading}</h2><ul>{items}</ul>" for heading, items in links.items())
        + "</body></html>\n"
    )


def _suite(page: Path, site: Path) -> str:
    """Return the suite a page is about: the first folder below `validations`, or the file below `expectations`."""
    return page.relative_to(site).parts[1].removesuffix(".html")
