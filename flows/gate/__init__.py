"""The decision whether a challenger takes over, with its evidence."""

from flows.gate.decision import Comparison, Decision, GateError, Rule, Verdict, decide
from flows.gate.evidence import Evidence
from flows.gate.report import sentence, to_markdown

__all__ = ["Comparison", "Decision", "Evidence", "GateError", "Rule", "Verdict", "decide", "sentence", "to_markdown"]
