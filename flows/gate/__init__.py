"""The decision whether a challenger takes over, with its evidence."""

from flows.gate.contender import JUDGED, Contender, Costs, GateError
from flows.gate.costs import Model, measure_costs, usual_lists
from flows.gate.decision import Comparison, Decision, Judgement, Rule, Slice, Verdict
from flows.gate.evidence import Evidence
from flows.gate.growth import Lists
from flows.gate.judging import decide
from flows.gate.report import sentence, to_markdown

__all__ = [
    "JUDGED",
    "Comparison",
    "Contender",
    "Costs",
    "Decision",
    "Evidence",
    "GateError",
    "Judgement",
    "Lists",
    "Model",
    "Rule",
    "Slice",
    "Verdict",
    "decide",
    "measure_costs",
    "sentence",
    "to_markdown",
    "usual_lists",
]
