"""Labelled pairs that a small model learns within seconds and that BM25 cannot rank.

A question names a fruit. The relevant answer says a bright thing, the others dull ones, and all share the same words
with the question, so that counting words in common tells nothing.
"""

import csv
import random
from datetime import datetime, timedelta
from pathlib import Path

FRUITS = [f"fruit{number}" for number in range(40)]
BRIGHT = [f"bright{number}" for number in range(12)]
DULL = [f"dull{number}" for number in range(12)]
FILLER = ["what", "about", "the", "colour", "of", "is"]
WORDS = [*FRUITS, *BRIGHT, *DULL, *FILLER]

QUERIES = 400
CANDIDATES = 5


def write_csv(path: Path, newest: datetime, seed: int = 1) -> None:
    """Write the pairs as a user's own CSV would look: other column names, one broken row."""
    draw = random.Random(seed)
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["question", "answer", "label", "created_at"])
        for number in range(QUERIES):
            asked = (newest - timedelta(hours=number)).isoformat()
            fruits = draw.sample(FRUITS, 3)
            question = f"what about {' '.join(fruits)}"
            for position in range(CANDIDATES):
                said = draw.sample(DULL if position else BRIGHT, 3)
                rows.writerow(
                    [question, f"the colour of {' '.join(fruits)} is {' '.join(said)}", int(not position), asked]
                )
        rows.writerow(["what about nothing", "", "1", newest.isoformat()])
