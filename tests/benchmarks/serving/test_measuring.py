"""The benchmark itself: it must count right, and see what is wrong."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from tests.benchmarks.serving.answers import Reference, WrongAnswers, check
from tests.benchmarks.serving.client import Reply, header
from tests.benchmarks.serving.load import Outcome, Target, completed, load_generator
from tests.benchmarks.serving.report import at_least, at_most
from tests.benchmarks.serving.texts import SPREAD, Request, Texts, vocabulary

REQUESTS = [Request("q", tuple(f"document {n} of {m}" for n in range(5))) for m in range(4)]


def score(document: str) -> float:
    return (sum(document.encode()) % 97 + 1) / 100


REFERENCE = Reference(lambda pairs: np.array([score(document) for _, document in pairs]))


def answered(request: int, scores: list[float], status: int = 200) -> Outcome:
    results = [{"index": n, "relevance_score": value} for n, value in enumerate(scores)]
    return Outcome(request, 0.0, 0.1, Reply(status, b"", json.dumps({"results": results}).encode()))


def right() -> list[Outcome]:
    return [answered(n, [score(text) for text in request.documents]) for n, request in enumerate(REQUESTS)]


def test_right_answers_pass_in_any_order() -> None:
    shuffled = right()
    results = json.loads(shuffled[0].reply.body)["results"]
    body = json.dumps({"results": results[::-1]}).encode()
    check("server", REQUESTS, [shuffled[0]._replace(reply=Reply(200, b"", body)), *shuffled[1:]], REFERENCE)


@pytest.mark.parametrize(
    "wrong",
    [
        answered(0, [score(text) for text in REQUESTS[1].documents]),
        answered(0, [0.5] * 5),
        answered(0, [score(text) for text in REQUESTS[0].documents][:4]),
        answered(0, [score(text) for text in REQUESTS[0].documents], status=503),
        answered(0, [float("nan")] * 5),
    ],
    ids=["of another request", "constant", "one missing", "refused", "no numbers"],
)
def test_wrong_answers_are_seen(wrong: Outcome) -> None:
    with pytest.raises(WrongAnswers):
        check("server", REQUESTS, [wrong, *right()[1:]], REFERENCE)


def test_a_request_in_flight_counts_by_its_share() -> None:
    outcomes = [Outcome(0, sent, 1.0, Reply(status, b"", b"")) for sent, status in ((0, 200), (1.5, 200), (1, 429))]
    assert completed(outcomes, 2.0) == pytest.approx(1.5)


@pytest.mark.parametrize(("value", "reached", "kept"), [(1.9, False, True), (2.0, True, True), (2.1, True, False)])
def test_limits_are_judged_by_the_median(value: float, reached: bool, kept: bool) -> None:
    values = [0.0, value, 9.0]
    assert at_least("", "", values, 2.0, "").held is reached
    assert at_most("", "", values, 2.0, "").held is kept


def test_texts_have_the_wanted_length_and_are_drawn_once(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    tokenizer = Tokenizer(WordLevel({word: n for n, word in enumerate(["[UNK]", *vocabulary()])}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(file))
    requests = Texts(file, 1).requests(50, documents=4, tokens=80)
    assert requests == Texts(file, 1).requests(50, documents=4, tokens=80)
    assert len({pair for request in requests for pair in request.pairs}) == 200
    lengths = [len(tokenizer.encode(*pair)) + 3 for request in requests for pair in request.pairs]
    assert min(lengths) >= 80 * (1 - SPREAD) - 1
    assert max(lengths) <= 80 * (1 + SPREAD) + 1
    assert np.mean(lengths) == pytest.approx(80, rel=0.05)


class Moody(BaseHTTPRequestHandler):
    """Answers as the body says."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        mood = self.rfile.read(int(self.headers["content-length"]))
        if mood == b"hang up":
            self.close_connection = True
            return
        self.send_response(429 if mood == b"refuse" else 200)
        self.send_header("Content-Length", str(len(mood)))
        if mood == b"refuse":
            self.send_header("Retry-After", "7")
        if mood == b"close":
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.flush()  # the head and the body arrive apart
        self.wfile.write(mood)

    def log_message(self, format: str, *args: object) -> None:
        return


@contextmanager
def moody() -> Iterator[Target]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Moody) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Target(server.server_address[1], "/")
        server.shutdown()
        thread.join()


def test_loads_report_what_became_of_each_request() -> None:
    bodies = [b"fine", b"close", b"refuse", b"hang up", b"fine again" * 50_000]
    with moody() as target, load_generator() as load:
        ways = [
            load.all(target, bodies, clients=2),
            load.open(target, bodies, [0.0, 0.01, 0.02, 0.03, 0.04]),
        ]
        for outcomes in ways:
            by_request = {outcome.request: outcome.reply for outcome in outcomes}
            assert {place: reply.status for place, reply in by_request.items()} == {
                0: 200,
                1: 200,
                2: 429,
                3: 0,
                4: 200,
            }
            assert all(by_request[place].body == bodies[place] for place in (0, 1, 2, 4))
            assert header(by_request[2], b"retry-after") == b"7"
        with pytest.raises(BaseExceptionGroup):
            load.closed(target, bodies[:2], clients=1, seconds=5)
        repeated = load.closed(target, bodies[:1], clients=2, seconds=0.3, order=[0] * 100_000)
        assert len(repeated) > 10
        assert max(outcome.sent for outcome in repeated) < 0.3


def test_a_server_that_is_gone_is_an_outcome() -> None:
    with moody() as target:
        pass
    with load_generator() as load:
        (outcome,) = load.all(target, [b"fine"], clients=1)
    assert outcome.reply.status == 0
