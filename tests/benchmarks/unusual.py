"""How often the detector of unusual inputs is right, and what it costs.

    python -m tests.benchmarks.unusual TOKENIZER PAIRS [--other PARQUET] [--json FILE]

It is fitted on the older 85 % of PAIRS (Parquet with query, document, created_at) and asked about the newest 15 %,
where every flag counts as false, and about texts that are unlike any question and answer. OTHER holds pairs of
another domain. Without its files it measures nothing and ends with status 2.
"""

import argparse
import base64
import inspect
import json
import random
import string
import sys
import tempfile
import timeit
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer

from bento.model.unusual import UnusualInputs

GERMAN = """Die Regierung hat gestern beschlossen, die Steuern auf Benzin im kommenden Jahr deutlich zu senken.
Ich suche eine günstige Wohnung in der Nähe des Bahnhofs, möglichst mit Balkon und einer Küche.
Können Sie mir bitte sagen, wann am Sonntag der letzte Zug nach München abfährt?
Wer sein Fahrrad im Winter draußen stehen lässt, sollte die Kette öfter ölen als im Sommer.
Meine Tochter möchte Klavier lernen, aber wir wissen nicht, ob sie dafür noch zu jung ist.
Das Gericht wird mit frischen Kräutern bestreut und noch heiß mit Brot serviert.
Für die Anmeldung brauchen Sie einen gültigen Ausweis und eine Bestätigung des Vermieters.
Nach dem Regen war der Weg am Fluss so schlammig, dass wir umkehren mussten.
Bitte schließen Sie alle Fenster, bevor Sie abends das Büro verlassen.
Welche Unterlagen muss ich mitbringen, wenn ich mein Auto ummelden will?"""
FRENCH = """Le gouvernement a décidé hier de réduire fortement les impôts sur l'essence l'année prochaine.
Je cherche un appartement pas trop cher près de la gare, si possible avec un balcon et une cuisine.
Pourriez-vous me dire à quelle heure part le dernier train pour Lyon dimanche soir ?
Si vous laissez votre vélo dehors en hiver, huilez la chaîne plus souvent qu'en été.
Ma fille voudrait apprendre le piano, mais nous ne savons pas si elle est encore trop jeune.
On parsème le plat d'herbes fraîches et on le sert encore chaud avec du pain.
Pour vous inscrire, il vous faut une pièce d'identité valable et une attestation du propriétaire.
Après la pluie, le chemin du bord de la rivière était si boueux que nous avons fait demi-tour.
Veuillez fermer toutes les fenêtres avant de quitter le bureau le soir.
Quels documents dois-je apporter pour changer l'immatriculation de ma voiture ?"""
WORDS = ["the", "buy", "visa", "school", "please", "car", "hello", "best"]


def strange_texts() -> dict[str, list[str]]:
    """Return texts of each kind that no reranker of questions and answers was trained on."""
    chance = random.Random(13)
    letters = string.ascii_lowercase + "   "
    code = [lines for module in _modules() for lines in _pieces(inspect.getsource(module))]
    return {
        "German": GERMAN.splitlines(),
        "French": FRENCH.splitlines(),
        "gibberish": ["".join(chance.choices(letters, k=chance.randint(40, 300))) for _ in range(300)],
        "base64": [base64.b64encode(chance.randbytes(chance.randint(30, 200))).decode() for _ in range(300)],
        "source code": chance.sample(code, 300),
        "repeated word": [f"{chance.choice(WORDS)} " * chance.randint(8, 100) for _ in range(300)],
    }


def _modules() -> tuple[ModuleType, ...]:
    import http.client
    import subprocess
    import tarfile

    return argparse, http.client, subprocess, tarfile


def _pieces(source: str) -> list[str]:
    lines = source.splitlines()
    return ["\n".join(lines[start : start + 12]) for start in range(0, len(lines) - 12, 12)]


def share(flags: Iterable[bool]) -> float:
    """Return the share of texts that were flagged."""
    return float(np.mean(list(flags)))


def measure(tokenizer: Tokenizer, pairs: Path, other: Path | None) -> dict[str, object]:
    """Return the share of queries and of documents that are flagged, of each kind of text, size and cost."""

    def ids(texts: Iterable[str]) -> list[list[int]]:
        encodings = tokenizer.encode_batch(list(dict.fromkeys(texts)), add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    table = pq.read_table(pairs, columns=["query", "document", "created_at"]).sort_by("created_at")
    rows = int(table.num_rows * 0.85)
    old, new = table.slice(0, rows), table.slice(rows)
    queries, documents = (ids(old[name].to_pylist()) for name in ("query", "document"))
    detector = UnusualInputs.fit(queries, documents, tokenizer.get_vocab_size())

    kinds: dict[str, tuple[Sequence[str], Sequence[str]]] = {
        "newest 15 % (false flags)": (new["query"].to_pylist(), new["document"].to_pylist())
    }
    if other is not None:
        there = pq.read_table(other, columns=["query", "document"])
        kinds[f"another domain ({other.stem})"] = there["query"].to_pylist(), there["document"].to_pylist()
    kinds |= {kind: (texts, texts) for kind, texts in strange_texts().items()}
    flagged = {
        kind: {
            "as_query": share(map(detector.flags_query, ids(as_query))),
            "as_document": share(map(detector.flags_document, ids(as_document))),
        }
        for kind, (as_query, as_document) in kinds.items()
    }
    pair = max(queries, key=len)[:20], max(documents, key=len)[:64]
    calls = 20_000
    seconds = min(timeit.repeat(lambda: detector.flags(*pair), number=calls, repeat=5)) / calls
    with tempfile.TemporaryDirectory() as folder:
        detector.save(Path(folder))
        size = sum(file.stat().st_size for file in Path(folder).iterdir())
    return {
        "flagged": flagged,
        "queries_fitted": len(queries),
        "documents_fitted": len(documents),
        "microseconds_per_pair_of_84_tokens": seconds * 1e6,
        "bytes": size,
    }


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizer", type=Path, help="tokenizer.json of a trained model")
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--other", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    missing = [str(p) for p in (arguments.tokenizer, arguments.pairs, arguments.other) if p and not p.is_file()]
    if missing:
        print(f"NOTHING MEASURED: there is no {' and no '.join(missing)}", file=sys.stderr)
        return 2
    tokenizer = Tokenizer.from_file(str(arguments.tokenizer))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    result = measure(tokenizer, arguments.pairs, arguments.other)
    table = Table("texts", "flagged as query", "flagged as document", title="Unusual inputs")
    for kind, shares in result["flagged"].items():  # type: ignore[attr-defined]
        table.add_row(kind, f"{shares['as_query']:.1%}", f"{shares['as_document']:.1%}")
    Console().print(table)
    print(json.dumps({name: value for name, value in result.items() if name != "flagged"}))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
