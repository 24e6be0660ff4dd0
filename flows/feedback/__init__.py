"""From what the service recorded and was told to labelled pairs.

The service writes what it was asked into `predictions-*.jsonl` and what people say of its answers into
`feedback-*.jsonl` of one folder. Collecting joins the two by request id and index and appends pairs of the source
"feedback", dated by the feedback, to the store; that a newer label overrules an older one is left to cleaning, as it
is for all pairs. Texts were scrubbed by the service.

**Killed at any moment**, nothing is lost or doubled: how far each file was read is written down only after the pairs
are in the store, and a pair that is appended again merges. For the same reason two collectors at once do no harm.
"""

from flows.feedback.collecting import collect
from flows.feedback.predictions import PredictedDocument, Prediction, read_predictions
from flows.feedback.progress import BrokenProgressError
from flows.feedback.report import FeedbackReport

__all__ = [
    "BrokenProgressError",
    "FeedbackReport",
    "PredictedDocument",
    "Prediction",
    "collect",
    "read_predictions",
]
