"""The demo's text: docstrings become pairs, and what is no pair is left out."""

import sys
from pathlib import Path

import pytest

from deployments.local.docstrings import MissingPackageError, read_docstrings

DETAILS = "The sum is taken over the last axis unless another one is given, and missing values count as nothing."


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "thing"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise RuntimeError('never imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("thing", None)
    return folder


def function(name: str, text: str) -> str:
    return f'def {name}(values):\n    """{text}"""\n'


def test_the_summary_is_the_query_and_the_details_the_document(package: Path) -> None:
    (package / "sums.py").write_text(
        function("total", f"Add up the values of an array.\n\n    Calling total is cheap. {DETAILS}\n    ")
    )

    (found,) = read_docstrings(["thing"], 500)

    assert found.source == "thing"
    assert found.query == "Add up the values of an array."
    assert found.document == f"Calling is cheap. {DETAILS}"


def test_markup_doctests_and_the_summary_are_taken_out(package: Path) -> None:
    (package / "sums.py").write_text(
        function(
            "total",
            f"""Add up the values of an array.

    .. versionadded:: 1.2

    Add up the values of an array. {DETAILS} See :func:`~thing.mean` and ``axis``.

    Examples
    --------
    >>> total([1, 2])
    """,
        )
    )

    (found,) = read_docstrings(["thing"], 500)

    assert found.document == f"{DETAILS} See thing.mean and axis. Examples"


def test_documents_are_cut_at_a_word(package: Path) -> None:
    (package / "sums.py").write_text(function("total", f"Add up the values of an array.\n\n    {DETAILS}\n    "))

    (found,) = read_docstrings(["thing"], 90)

    assert len(found.document) <= 90
    assert DETAILS.startswith(f"{found.document} ")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("_private", f"Add up the values of an array.\n\n    {DETAILS}"),
        ("short", f"Add up.\n\n    {DETAILS}"),
        ("bare", "Add up the values of an array.\n\n    Nothing more."),
        ("stub", f"Deprecated since version one, use sum instead.\n\n    {DETAILS}"),
        ("template", f"Add up the values of a %(klass)s here.\n\n    {DETAILS}"),
        ("alone", "Add up the values of an array."),
    ],
)
def test_what_makes_no_pair_is_left_out(name: str, text: str, package: Path) -> None:
    (package / "sums.py").write_text(function(name, text))
    assert read_docstrings(["thing"], 500) == []


def test_the_same_summary_or_the_same_details_count_once(package: Path) -> None:
    (package / "a.py").write_text(function("total", f"Add up the values of an array.\n\n    {DETAILS}"))
    (package / "b.py").write_text(
        function("total", f"Add up the values of an ARRAY.\n\n    Other details: {DETAILS}")
        + function("whole", f"Return the sum over all of the values.\n\n    {DETAILS}")
    )
    assert len(read_docstrings(["thing"], 500)) == 1


def test_tests_and_files_of_another_python_are_skipped(package: Path) -> None:
    (package / "tests").mkdir()
    (package / "tests" / "a.py").write_text(function("total", f"Add up the values of an array.\n\n    {DETAILS}"))
    (package / "b.py").write_text("print 'an older Python'")
    assert read_docstrings(["thing"], 500) == []


def test_functions_documented_from_outside_count_too(package: Path) -> None:
    (package / "docs.py").write_text(
        f'add_newdoc("thing", "total", """total(values, /)\n\n    Add up the values of an array.\n\n    {DETAILS}""")'
    )
    (found,) = read_docstrings(["thing"], 500)
    assert (found.query, found.document) == ("Add up the values of an array.", DETAILS)


def test_a_package_that_is_missing_is_named() -> None:
    with pytest.raises(MissingPackageError, match="no_such_package"):
        read_docstrings(["no_such_package"], 500)
