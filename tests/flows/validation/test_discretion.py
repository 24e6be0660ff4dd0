"""Validation keeps to itself: no network, no progress bars, no user text in logs."""

import logging
import re
import socket

import pytest

from flows.validation import validate_pairs

SECRET = "the patient is called Q. Zxvb"


@pytest.fixture
def no_network(monkeypatch):
    attempts = []

    def refuse(*args, **kwargs):
        attempts.append(args)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return attempts


def test_nothing_leaves_the_machine_or_reaches_the_console(
    no_network, rows, make_table, settings, cleaning, now, tmp_path, capfd, caplog
):
    rows = [row | {"document": f"{SECRET} {number}", "relevance": 7} for number, row in enumerate(rows)]
    with caplog.at_level(logging.DEBUG):
        report = validate_pairs(make_table(rows), settings, cleaning, tmp_path, now)
    assert not report.passed
    assert any(SECRET in example for example in report.failures[0].examples)
    assert not any(SECRET in finding.summary for finding in report.failures + report.warnings)
    assert no_network == []
    output = capfd.readouterr()
    assert "Calculating" not in output.out + output.err
    assert SECRET not in caplog.text + output.out + output.err


def test_two_reports_in_one_folder_do_not_mix(rows, make_table, settings, cleaning, now, tmp_path):
    bad = [row | {"relevance": 7} for row in rows]
    failed = validate_pairs(make_table(bad), settings, cleaning, tmp_path, now)
    passed = validate_pairs(make_table(rows), settings, cleaning, tmp_path, now)
    assert (failed.passed, passed.passed) == (False, True)
    assert failed.data_docs != passed.data_docs
    assert "Every expectation was met" in passed.data_docs.read_text("utf-8")


def test_no_page_of_the_data_docs_may_load_or_run_anything(rows, make_table, settings, cleaning, now, tmp_path):
    rows[0] |= {"relevance": 7, "source": "<script>alert(1)</script>"}
    report = validate_pairs(make_table(rows), settings, cleaning, tmp_path, now)
    pages = list(report.data_docs.parent.rglob("*.html"))
    assert len(pages) == 7
    for page in pages:
        text = page.read_text("utf-8")
        policy = text.index("Content-Security-Policy")
        assert text[policy:].startswith(
            "Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\""
        )
        loads = [found.start() for found in re.finditer(r"<(script|link|img|iframe)\b", text)]
        assert all(policy < position for position in loads)
