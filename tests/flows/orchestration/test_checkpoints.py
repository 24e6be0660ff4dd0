"""Checkpoints in S3, with the real client against a server of its own on loopback."""

import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer
from prefect_aws import AwsCredentials
from prefect_aws.client_parameters import AwsClientParameters
from prefect_aws.s3 import S3Bucket

from flows.orchestration.checkpoints import S3Checkpoints
from flows.training.checkpoints import Checkpoints

IDENTITY = {"snapshot": "a", "settings": "b"}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def block(endpoint: str, folder: str = "team/models") -> S3Bucket:
    parameters = AwsClientParameters(
        endpoint_url=endpoint, config={"retries": {"max_attempts": 1}, "connect_timeout": 2, "read_timeout": 5}
    )
    credentials = AwsCredentials(
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        region_name="us-east-1",
        aws_client_parameters=parameters,
    )
    return S3Bucket(bucket_name="reranker", bucket_folder=folder, credentials=credentials)


@pytest.fixture
def bucket(endpoint: str) -> Iterator[S3Bucket]:
    made = block(endpoint)
    client = made.credentials.get_s3_client()
    client.create_bucket(Bucket="reranker")
    client.put_object(Bucket="reranker", Key="team/models/checkpoints/other/7/x", Body=b"of another training")
    yield made
    for item in client.list_objects_v2(Bucket="reranker").get("Contents", []):
        client.delete_object(Bucket="reranker", Key=item["Key"])
    client.delete_bucket(Bucket="reranker")


def written(folder: Path, content: str) -> Path:
    (folder / "deep").mkdir(parents=True)
    (folder / "model.safetensors").write_text(content)
    (folder / "deep" / "watch.pt").write_text(content)
    return folder


def test_the_newest_two_are_kept_and_the_newest_comes_back_as_it_was(bucket: S3Bucket, tmp_path: Path) -> None:
    store = S3Checkpoints(bucket, "checkpoints/one")
    checkpoints = Checkpoints(store, IDENTITY)
    for step in (8, 9, 10):
        checkpoints.write(step, written(tmp_path / str(step), f"after {step}"))

    assert store.steps() == [10, 9]
    found = Checkpoints(pickle.loads(pickle.dumps(store)), IDENTITY).newest(tmp_path / "back")
    assert found == tmp_path / "back"
    assert (found / "model.safetensors").read_text() == (found / "deep" / "watch.pt").read_text() == "after 10"
    assert S3Checkpoints(bucket, "checkpoints/other").steps() == [7]


def test_an_upload_that_broke_off_is_passed_over(
    bucket: S3Bucket, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = S3Checkpoints(bucket, "checkpoints/one")
    checkpoints = Checkpoints(store, IDENTITY)
    checkpoints.write(8, written(tmp_path / "8", "after 8"))
    store.save(9, written(tmp_path / "9", "no manifest came after this"))

    found = checkpoints.newest(tmp_path / "back")

    assert found is not None
    assert (found / "model.safetensors").read_text() == "after 8"
    assert "The checkpoint of step 9 is not used: it is not whole" in caplog.text
    assert store.steps() == [8]


def test_a_bucket_that_is_not_there_and_a_server_that_is_away_are_named(endpoint: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"reranker/team/models/checkpoints/one/: .*NoSuchBucket"):
        S3Checkpoints(block(endpoint), "checkpoints/one").steps()
    with pytest.raises(OSError, match="Could not connect"):
        S3Checkpoints(block("http://127.0.0.1:9"), "checkpoints/one").save(1, written(tmp_path / "1", "x"))
