"""Question-answer text that every installation already has: the docstrings of its packages.

A docstring written to the usual conventions opens with a summary line and goes on with the details. The summary
becomes the query, the details become the relevant document. Sources are parsed, never imported, so reading them has
no side effects and takes seconds. The labels are self-supervised: no person judged a pair.
"""

import ast
import importlib.util
import inspect
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from flows.contracts.pair import normalise

MIN_QUERY_WORDS = 4
MIN_DOCUMENT_CHARACTERS = 80
MAX_QUERY_CHARACTERS = 160

_SKIPPED_FOLDERS = {"tests", "test", "testing", "_vendor", "vendor", "_vendored_packages", "examples", "conftest"}
_DOC_CALLS = {"add_newdoc", "add_docstr", "add_docstr_all"}  # how numpy and torch document their C functions

_SIGNATURE = re.compile(r"^[\w.]+\s*\(.*\)\s*(?:->.*)?$", re.DOTALL)
_UNDERLINE = re.compile(r"^\s*[-=~^\"*+#`]{3,}\s*$", re.MULTILINE)
_DOCTEST = re.compile(r"^\s*(?:>>>|\.\.\. |\.\.\.$).*$", re.MULTILINE)
_DIRECTIVE = re.compile(r"^\s*\.\. [^\n]*$", re.MULTILINE)
_ROLE = re.compile(r":[a-z:]+:`~?([^`<]*?)(?:\s*<[^`>]*>)?`")
_MARKUP = re.compile(r"[`*|]+|\\(?=\S)")
_SPACES = re.compile(r"\s+")
_TEMPLATE = re.compile(r"%\(\w+\)s|\{[a-z_]+\}|\$\w+")
_STUB = re.compile(r"deprecated|^alias (?:of|for)\b|^see \S+$|^same as\b|^not implemented", re.IGNORECASE)


@dataclass(frozen=True)
class Docstring:
    """One documented object as a query and the document that answers it."""

    source: str
    """The package it comes from."""
    query: str
    document: str


class MissingPackageError(LookupError):
    """A package whose docstrings were asked for is not installed."""


def read_docstrings(packages: Iterable[str], max_document_characters: int) -> list[Docstring]:
    """Return the usable docstrings of `packages`, in a stable order.

    Left out are private objects, tests, stubs, templates that are filled in at import, queries of fewer than
    MIN_QUERY_WORDS words, and documents that say too little. Of objects with the same summary or the same opening
    (methods that several classes share), the first is kept, for with both the label would be ambiguous.

    Raises MissingPackageError for a package that is not installed.
    """
    seen: set[str] = set()
    kept = []
    for package in packages:
        for name, text in _documented_objects(package):
            found = _split(package, name, text, max_document_characters)
            if found is None:
                continue
            keys = {normalise(found.query), normalise(found.document)[:MIN_DOCUMENT_CHARACTERS]}
            if seen.isdisjoint(keys):
                kept.append(found)
            seen |= keys
    return kept


def _documented_objects(package: str) -> Iterator[tuple[str, str]]:
    """Yield (name, docstring) of the public classes, functions and methods in the sources of `package`."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingPackageError(
            f"The demo data reads the docstrings of {package!r}, which is not installed. "
            "Install the pinned dependencies (deployments/requirements.txt)."
        )
    root = Path(spec.submodule_search_locations[0])
    for file in sorted(root.rglob("*.py")):
        if _SKIPPED_FOLDERS.isdisjoint(file.relative_to(root).parts[:-1]) and not file.name.startswith("test_"):
            try:
                module = ast.parse(file.read_bytes())
            except (SyntaxError, ValueError):  # a template, or a file for another Python
                continue
            yield from _public(module)


def _public(node: ast.Module | ast.ClassDef) -> Iterator[tuple[str, str]]:
    for child in node.body:
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if child.name.startswith("_"):
                continue
            if text := ast.get_docstring(child):
                yield child.name, text
            if isinstance(child, ast.ClassDef):
                yield from _public(child)
        elif isinstance(child, ast.Expr) and isinstance(child.value, ast.Call):
            yield from _documented_from_outside(child.value)


def _documented_from_outside(call: ast.Call) -> Iterator[tuple[str, str]]:
    """Yield from `add_newdoc("numpy", "empty", "...")` and `add_docstr(torch.abs, "...")`."""
    if not isinstance(call.func, ast.Name) or call.func.id not in _DOC_CALLS or len(call.args) < 2:
        return
    *_, target, text = call.args
    if isinstance(text, ast.Call) and isinstance(text.func, ast.Attribute):  # r"""...""".format(**common_args)
        text = text.func.value
    if isinstance(text, ast.Constant) and isinstance(text.value, str):
        name = target.value if isinstance(target, ast.Constant) else ast.unparse(target)
        yield str(name).rpartition(".")[2], inspect.cleandoc(text.value)


def _split(package: str, name: str, text: str, max_document_characters: int) -> Docstring | None:
    """Return the docstring as query and document, or None where it does not make a pair."""
    paragraphs = [paragraph for paragraph in text.split("\n\n") if paragraph.strip()]
    if paragraphs and _SIGNATURE.match(paragraphs[0].strip()):
        paragraphs = paragraphs[1:]
    if len(paragraphs) < 2 or _STUB.search(paragraphs[0]):
        return None
    query = _plain(paragraphs[0])
    own_name = re.compile(rf"\b{re.escape(name)}\b")
    document = _plain(own_name.sub(" ", "\n\n".join(paragraphs[1:]))).replace(query, " ")
    document = _SPACES.sub(" ", _cut(document, max_document_characters)).strip()
    if (
        len(query.split()) < MIN_QUERY_WORDS
        or len(query) > MAX_QUERY_CHARACTERS
        or len(document) < MIN_DOCUMENT_CHARACTERS
        or _TEMPLATE.search(query + document)
    ):
        return None
    return Docstring(package, query, document)


def _plain(text: str) -> str:
    """Return docstring markup as one paragraph of plain text, without doctests and directives."""
    for pattern in (_DOCTEST, _UNDERLINE, _DIRECTIVE):
        text = pattern.sub(" ", text)
    return _SPACES.sub(" ", _MARKUP.sub("", _ROLE.sub(r"\1", text))).strip()


def _cut(text: str, characters: int) -> str:
    """Return `text` cut to at most `characters`, at a word's end."""
    if len(text) <= characters:
        return text
    return text[:characters].rpartition(" ")[0]
