"""How much memory a model takes: a program that opens one in a process of its own and says by how much it grew."""

import gc
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from flows.contracts.scorer import Scorer
from flows.gate.contender import GateError

Open = Callable[[], Scorer]
"""Opens a model. It is sent to another process, so it must be a module's function, or a `partial` of one."""

_ROOT = Path(__file__).resolve().parents[2]


class Lists(NamedTuple):
    """What is scored: one entry a list."""

    queries: Sequence[str]
    documents: Sequence[Sequence[str]]


def memory_growth(open_model: Open, lists: Lists) -> int:
    """Return by how many bytes a fresh process grows that opens the model and scores the lists.

    Raises what opening or scoring raises there, and GateError where that process dies.
    """
    # Not multiprocessing's: a flow's process has the folder `flows` on its path, and a copy of it would find
    # `flows/packaging` where libraries mean the package `packaging`.
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-m", "flows.gate.growth"],
        input=pickle.dumps((open_model, lists)),
        stdout=subprocess.PIPE,
        cwd=_ROOT,
        env=os.environ | {"PYTHONPATH": path},
        check=False,
    )
    if done.returncode != 0:
        raise GateError(
            f"The process that measures a model's memory ended with status {done.returncode}. If that is -9, this "
            "host has too little memory for the model."
        )
    answer: int | Exception = pickle.loads(done.stdout)  # noqa: S301 - from our own program
    if isinstance(answer, Exception):
        raise answer
    return answer


def _measure() -> int | Exception:
    import psutil

    open_model, lists = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the process that started this one
    own = psutil.Process()
    gc.collect()
    before = own.memory_info().rss
    try:
        scorer = open_model()
        for query, candidates in zip(lists.queries, lists.documents, strict=True):
            scorer.score([query] * len(candidates), candidates)
    except Exception as error:  # noqa: BLE001 - raised where it was asked for
        return error
    return max(0, int(own.memory_info().rss) - int(before))


if __name__ == "__main__":
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # libraries print
    pickle.dump(_measure(), answers)
    answers.close()
