"""Work that is done stays done: results are kept under a name made of what they were computed from.

A run that was killed half-way and started again finds the finished steps under the same name and takes them up;
Prefect shows them as `Cached`.
"""

from typing import Literal, ParamSpec, TypeVar

from prefect import Task

P = ParamSpec("P")
R = TypeVar("R")


def kept(task: Task[P, R], step: str, serializer: Literal["json", "pickle"] = "json", **parts: str) -> Task[P, R]:
    """Return `task` such that it keeps its result, and returns the kept one where it is there.

    Args:
        task: What computes the result.
        step: What it does, as part of the name.
        serializer: `pickle` for data frames; results lie in Prefect's own local storage.
        parts: Digests of everything that goes in; equal parts, equal result.
    """
    name = "-".join([step, *(f"{part}={value}" for part, value in sorted(parts.items()))])
    return task.with_options(
        cache_key_fn=lambda context, arguments: name, persist_result=True, result_serializer=serializer
    )
