"""A bibliography for pages: this project's BibTeX, which is simple, as a list in HTML."""

from __future__ import annotations

import html
import re
import unicodedata

_FIELD = re.compile(r"^ *(\w+) = \{(.*)\},?$", re.MULTILINE)
_ACCENT = re.compile(r"\\(['\"~c`^])\s*\{?\\?(\w)\}?")
_COMBINING = {"'": "\u0301", '"': "\u0308", "~": "\u0303", "c": "\u0327", "`": "\u0300", "^": "\u0302"}


def listed(bibtex: str) -> str:
    """The entries of ``discrete_vae.citations.bibliography`` as an HTML list; empty for none."""
    items = [_item(dict(_FIELD.findall(entry))) for entry in bibtex.split("@")[1:]]
    return f"<h2>References</h2>\n<ul>\n{''.join(items)}</ul>\n" if items else ""


def _item(entry: dict[str, str]) -> str:
    authors = [_plain(name) for name in entry["author"].split(" and ")]
    named = authors[0] if len(authors) == 1 else f"{', '.join(authors[:-1])} and {authors[-1]}"
    where = next((_plain(entry[each]) for each in ("journal", "booktitle", "howpublished") if each in entry), "")
    parts = [named, f"<em>{_plain(entry['title'])}</em>", *([where] if where else []), entry["year"]]
    link = f"https://arxiv.org/abs/{entry['eprint']}" if entry.get("archiveprefix") == "arXiv" else ""
    told = ". ".join(parts) + "."
    return f'<li>{told} <a href="{link}">arXiv:{entry["eprint"]}</a></li>\n' if link else f"<li>{told}</li>\n"


def _plain(text: str) -> str:
    accented = _ACCENT.sub(lambda found: unicodedata.normalize("NFC", found[2] + _COMBINING[found[1]]), text)
    return html.escape(accented.replace("{", "").replace("}", "").replace("--", "–"))  # noqa: RUF001
