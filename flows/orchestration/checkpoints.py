"""Where the checkpoints of a training are kept: under the home folder, or in S3 through Prefect's blocks."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError
from prefect import get_run_logger
from prefect_aws.s3 import S3Bucket

from flows.settings import Settings, SettingsError
from flows.training import CheckpointsAwayError, CheckpointStore, LocalCheckpoints

_LAST = "checkpoint.json"  # goes up when all others are there


class S3Checkpoints:
    """Checkpoints under `<folder>/<step>/` of the bucket and folder that an `s3-bucket` block names.

    Its methods raise OSError when S3 cannot be used, with what AWS said.
    """

    def __init__(self, bucket: S3Bucket, folder: str) -> None:
        self._bucket = bucket
        self._prefix = "/".join(filter(None, [bucket.bucket_folder.strip("/"), folder.strip("/")])) + "/"

    def steps(self) -> list[int]:
        """Return the steps of which something lies there, the newest first."""
        with self._client() as client:
            found = {name.partition("/")[0] for name in self._names(client)}
        return sorted((int(step) for step in found if step.isdecimal()), reverse=True)

    def save(self, step: int, folder: Path) -> None:
        """Upload the files, the manifest last: what breaks off on the way has none."""
        files = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.name == _LAST)
        with self._client() as client:
            for file in files:
                key = f"{self._prefix}{step}/{file.relative_to(folder).as_posix()}"
                client.upload_file(str(file), self._bucket.bucket_name, key)

    def fetch(self, step: int, into: Path) -> Path:
        """Download the files."""
        with self._client() as client:
            for name in self._names(client, f"{step}/"):
                target = into / name.partition("/")[2]
                target.parent.mkdir(parents=True, exist_ok=True)
                client.download_file(self._bucket.bucket_name, self._prefix + name, str(target))
        return into

    def discard(self, step: int) -> None:
        """Delete the files, the manifest first."""
        with self._client() as client:
            for name in sorted(self._names(client, f"{step}/"), key=lambda name: not name.endswith(_LAST)):
                client.delete_object(Bucket=self._bucket.bucket_name, Key=self._prefix + name)

    def _names(self, client: Any, below: str = "") -> list[str]:
        """Return the keys that begin with `below`, without the prefix of this training."""
        pages = client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket.bucket_name, Prefix=self._prefix + below
        )
        return [item["Key"].removeprefix(self._prefix) for page in pages for item in page.get("Contents", [])]

    @contextmanager
    def _client(self) -> Iterator[Any]:
        try:
            yield self._bucket.credentials.get_s3_client()
        except (BotoCoreError, Boto3Error, ClientError) as error:
            raise OSError(f"S3 could not be used for {self._bucket.bucket_name}/{self._prefix}: {error}") from error


def open_checkpoints(settings: Settings, training: str) -> CheckpointStore:
    """Return the store that the settings name, for the training of that name; SettingsError without such a block."""
    kind, _, block = settings.training.checkpoints.partition("/")
    if kind == "local":
        return LocalCheckpoints(settings.folder("checkpoints") / training)
    try:
        bucket = cast(S3Bucket, S3Bucket.load(block))
    except ValueError as error:
        raise SettingsError(
            f"RERANKER_TRAINING__CHECKPOINTS names the block {settings.training.checkpoints}, which Prefect does not "
            f"have: make an S3 Bucket block of that name, with AWS credentials. ({error})"
        ) from error
    return S3Checkpoints(bucket, f"checkpoints/{training}")


def begun(store: CheckpointStore) -> bool:
    """Return whether there is a checkpoint to go on from; CheckpointsAwayError when that cannot be told now."""
    try:
        return bool(store.steps())
    except OSError as error:
        raise CheckpointsAwayError(f"The checkpoints cannot be read: {error}") from error


def forget(store: CheckpointStore) -> None:
    """Discard all checkpoints of a training whose model is registered; a store that is away costs a warning."""
    try:
        for step in store.steps():
            store.discard(step)
    except OSError as error:
        get_run_logger().warning("Checkpoints that nobody needs any more are left: %s", error)
