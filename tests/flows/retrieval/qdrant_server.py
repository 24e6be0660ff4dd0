"""A Qdrant server on loopback: the services that the project uses, over gRPC, on `qdrant-client`'s local mode.

What the client sends is decoded from the wire by the stubs that the server's own protocol files generate; what is
kept lives in memory and outlasts `stop`, as a server's disk does.
"""

# ruff: noqa: N802  (the protocol names the methods)

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from qdrant_client import QdrantClient
from qdrant_client import grpc as wire
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc

Before = Callable[[str, grpc.ServicerContext], None]
"""Called with a method's name before it runs; raise, abort or stop the server there."""


class QdrantServer:
    """One server; `port` is chosen at the first start and kept."""

    def __init__(self, api_key: str | None = None) -> None:
        self.kept = QdrantClient(":memory:")
        self.calls: list[str] = []
        self.before: Before = lambda _method, _context: None
        self.port = 0
        self._api_key = api_key
        self._alone = threading.RLock()
        self._server: grpc.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port + 1}"  # REST would be there

    def start(self) -> "QdrantServer":
        self._server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.so_reuseport", 0)])
        wire.add_CollectionsServicer_to_server(_Collections(self), self._server)
        wire.add_PointsServicer_to_server(_Points(self), self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        self._server.start()
        return self

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop(grace=None).wait()
            self._server = None

    def answer(self, method: str, context: grpc.ServicerContext, work: Callable[[QdrantClient], Any]) -> Any:
        key = dict(context.invocation_metadata()).get("api-key")
        if self._api_key is not None and key != self._api_key:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "Invalid API key or JWT")
        self.calls.append(method)
        self.before(method, context)
        try:
            with self._alone:
                return work(self.kept)
        except ValueError as error:
            missing = "not found" in str(error)
            code = grpc.StatusCode.NOT_FOUND if missing else grpc.StatusCode.INVALID_ARGUMENT
            return context.abort(code, str(error))


class _Collections(wire.CollectionsServicer):
    def __init__(self, server: QdrantServer) -> None:
        self._answer = server.answer

    def List(self, request: Any, context: Any) -> Any:
        def work(kept: QdrantClient) -> Any:
            found = kept.get_collections().collections
            return wire.ListCollectionsResponse(
                collections=[RestToGrpc.convert_collection_description(each) for each in found]
            )

        return self._answer("List", context, work)

    def CollectionExists(self, request: Any, context: Any) -> Any:
        def work(kept: QdrantClient) -> Any:
            exists = kept.collection_exists(request.collection_name)
            return wire.CollectionExistsResponse(result=wire.CollectionExists(exists=exists))

        return self._answer("CollectionExists", context, work)

    def Get(self, request: Any, context: Any) -> Any:
        def work(kept: QdrantClient) -> Any:
            found = kept.get_collection(request.collection_name)
            return wire.GetCollectionInfoResponse(result=RestToGrpc.convert_collection_info(found))

        return self._answer("Get", context, work)

    def Create(self, request: Any, context: Any) -> Any:
        def work(kept: QdrantClient) -> Any:
            vectors = GrpcToRest.convert_vectors_config(request.vectors_config)
            kept.create_collection(request.collection_name, vectors_config=vectors)
            return wire.CollectionOperationResponse(result=True)

        return self._answer("Create", context, work)


class _Points(wire.PointsServicer):
    def __init__(self, server: QdrantServer) -> None:
        self._answer = server.answer

    def Upsert(self, request: Any, context: Any) -> Any:
        def work(kept: QdrantClient) -> Any:
            kept.upsert(request.collection_name, [GrpcToRest.convert_point_struct(each) for each in request.points])
            return _completed()

        return self._answer("Upsert", context, work)

    def Delete(self, request: Any, context: Any) -> Any:
        def work(kept: QdrantClient) -> Any:
            kept.delete(request.collection_name, GrpcToRest.convert_points_selector(request.points))
            return _completed()

        return self._answer("Delete", context, work)

    def UpdateBatch(self, request: Any, context: Any) -> Any:
        def work(kept: QdrantClient) -> Any:
            operations = [GrpcToRest.convert_points_update_operation(each) for each in request.operations]
            kept.batch_update_points(request.collection_name, operations)
            return wire.UpdateBatchResponse(result=[_completed().result for _ in operations])

        return self._answer("UpdateBatch", context, work)

    def CreateFieldIndex(self, request: Any, context: Any) -> Any:
        return self._answer("CreateFieldIndex", context, lambda _kept: _completed())

    def Count(self, request: Any, context: Any) -> Any:
        def work(kept: QdrantClient) -> Any:
            chosen = GrpcToRest.convert_filter(request.filter) if request.HasField("filter") else None
            count = kept.count(request.collection_name, chosen, exact=request.exact).count
            return wire.CountResponse(result=wire.CountResult(count=count))

        return self._answer("Count", context, work)

    def Scroll(self, request: Any, context: Any) -> Any:
        def work(kept: QdrantClient) -> Any:
            offset = GrpcToRest.convert_point_id(request.offset) if request.HasField("offset") else None
            found, following = kept.scroll(
                request.collection_name, limit=request.limit, offset=offset, with_payload=request.with_payload.enable
            )
            return wire.ScrollResponse(
                result=[RestToGrpc.convert_record(each) for each in found],
                next_page_offset=None if following is None else RestToGrpc.convert_extended_point_id(following),
            )

        return self._answer("Scroll", context, work)

    def Get(self, request: Any, context: Any) -> Any:
        def work(kept: QdrantClient) -> Any:
            ids = [GrpcToRest.convert_point_id(each) for each in request.ids]
            found = kept.retrieve(request.collection_name, ids, with_payload=True, with_vectors=True)
            return wire.GetResponse(result=[RestToGrpc.convert_record(each) for each in found])

        return self._answer("Get", context, work)

    def QueryBatch(self, request: Any, context: Any) -> Any:
        def work(kept: QdrantClient) -> Any:
            queries = [GrpcToRest.convert_query_points(each) for each in request.query_points]
            answers = kept.query_batch_points(request.collection_name, queries)
            return wire.QueryBatchResponse(
                result=[
                    wire.BatchResult(result=[RestToGrpc.convert_scored_point(point) for point in answer.points])
                    for answer in answers
                ]
            )

        return self._answer("QueryBatch", context, work)


def _completed() -> Any:
    return wire.PointsOperationResponse(result=wire.UpdateResult(operation_id=0, status=wire.UpdateStatus.Completed))
