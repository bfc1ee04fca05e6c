import io
import json
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from bringing import bring, identify, pixels

from raygrid.errors import UsageError

WORDS = {"input": [1, 2, 2], "classes": 3, "state": "v1"}
SECRET = "Bearer hunter2"


@contextmanager
def serving(answer):
    """Serve `answer(x [B, C, H, W]) -> (status, headers, body)`; yields the url and the headers of every request."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append(self.headers)
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, headers, content = answer(np.load(io.BytesIO(body), allow_pickle=False))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            with suppress(BrokenPipeError):  # a client that gave up
                self.wfile.write(content)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/predict", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def replying(value):
    return lambda x: (200, {}, json.dumps(value).encode())


def scores(x):
    assert x.dtype == np.float32
    return replying({"scores": x.reshape(len(x), -1)[:, :3].tolist()})(x)


def labels(x):
    return replying({"labels": x.reshape(len(x), -1)[:, :3].argmax(1).tolist()})(x)


def test_scores_arrive_in_requests_of_at_most_a_batch():
    x = pixels(5, 1, 2, 2)
    with serving(scores) as (url, asked):
        victim = bring("endpoint", url=url, batch=2, **WORDS)
        assert torch.allclose(victim(x), x.flatten(1)[:, :3])
    assert len(asked) == 3
    assert {headers["Content-Type"] for headers in asked} == {"application/x-npy"}
    assert victim.info.access == "score"


def test_labels_arrive_one_hot():
    x = pixels(5, 1, 2, 2)
    with serving(labels) as (url, _):
        victim = bring("endpoint", url=url, returns="labels", **WORDS)
        assert torch.equal(victim(x).argmax(1), x.flatten(1)[:, :3].argmax(1))
    assert victim.info.access == "decision"


def test_a_secret_header_is_sent_and_stored_nowhere(monkeypatch):
    monkeypatch.setenv("RG_TEST_HEADERS", f"Authorization: {SECRET}\nX-Tenant: audit")
    with serving(scores) as (url, asked):
        victim = bring("endpoint", url=url, headers_env="RG_TEST_HEADERS", **WORDS)
        victim(pixels(1, 1, 2, 2))
    assert (asked[0]["Authorization"], asked[0]["X-Tenant"]) == (SECRET, "audit")
    assert SECRET not in json.dumps(victim.info.facts()) + repr(victim)


def test_a_redirect_is_an_error_and_is_not_followed(monkeypatch):
    monkeypatch.setenv("RG_TEST_HEADERS", f"Authorization: {SECRET}")
    with serving(scores) as (elsewhere, leaked), serving(lambda x: (307, {"Location": elsewhere}, b"")) as (url, _):
        victim = bring("endpoint", url=url, headers_env="RG_TEST_HEADERS", **WORDS)
        with pytest.raises(RuntimeError, match="answered 307"):
            victim(pixels(1, 1, 2, 2))
    assert leaked == []


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (lambda x: (503, {}, b"busy"), RuntimeError, "answered 503 Service Unavailable"),
        (lambda x: (200, {}, b"<html>"), ValueError, r'answered no JSON of the form \{"scores"'),
        (replying({"labels": [0, 1]}), ValueError, r'answered no JSON of the form \{"scores"'),
        (replying([1, 2]), ValueError, r'answered no JSON of the form \{"scores"'),
        (replying({"scores": [[1, 2, 3], [1]]}), ValueError, r'answered no JSON of the form \{"scores"'),
        (replying({"scores": [[1, 2, 3]]}), ValueError, r"answered scores of the shape \[1, 3\] for 2 samples"),
        (replying({"scores": 1}), ValueError, r"answered scores of the shape \[\] for 2 samples"),
        (replying({"scores": [[1, 2], [3, 4]]}), ValueError, r"scores have the shape \[2, 2\], not \[2, 3\]"),
        (replying({"scores": [["a", "b", "c"]] * 2}), ValueError, "could not convert string to float"),
    ],
)
def test_a_bad_answer_raises_so_that_the_sample_becomes_an_error_row(answer, error, message):
    with serving(answer) as (url, asked):
        victim = bring("endpoint", url=url, **WORDS)
        with pytest.raises(error, match=message):
            victim(pixels(2, 1, 2, 2))
    assert len(asked) == 1, "nothing is retried"


def test_an_endpoint_that_is_not_there_raises():
    with serving(scores) as (url, _):
        pass
    with pytest.raises(OSError, match="refused"):
        bring("endpoint", url=url, **WORDS)(pixels(1, 1, 2, 2))


def test_an_endpoint_that_does_not_answer_in_time_raises():
    released = threading.Event()

    def late(x):
        released.wait(10)
        return scores(x)

    with serving(late) as (url, _):
        victim = bring("endpoint", url=url, timeout=0.1, **WORDS)
        try:
            with pytest.raises(OSError, match="timed out"):
                victim(pixels(1, 1, 2, 2))
        finally:
            released.set()


@pytest.mark.parametrize(
    "words", [{"state": "v2"}, {"url": "https://models.example/b"}, {"returns": "labels"}, {"classes": 4}]
)
def test_each_word_that_matters_changes_the_victim(words):
    url = {"url": "https://models.example/a"}
    assert identify("endpoint", **(WORDS | url | words)) != identify("endpoint", **(WORDS | url))


def test_a_remote_model_is_known_by_its_stated_version():
    assert identify("endpoint", url="https://models.example/a", **WORDS).weights_sha256 == "remote:v1"


@pytest.mark.parametrize(
    "url", ["http://localhost:1/p", "http://127.0.0.9/p", "http://[::1]:80/p", "https://models.example/p"]
)
def test_https_is_allowed_anywhere_and_http_on_this_machine(url):
    assert identify("endpoint", url=url, **WORDS).source == url


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            {"url": "http://models.example/p"},
            "url: http://models.example/p would send the samples in the clear; use https://",
        ),
        ({"url": "http://localhost.example/p"}, "url: http://localhost.example/p would send the samples in the clear"),
        ({"url": "file:///etc/passwd"}, 'url: "file:///etc/passwd" is no url of the form https://host/path'),
        ({"url": "models.example"}, 'url: "models.example" is no url of the form https://host/path'),
        ({"url": "https://me:pass@models.example/p"}, "url: no credentials in the url"),
        ({"url": "https://models.example/p", "state": ""}, "state: say which version of the model answers"),
        ({"url": "https://models.example/p", "timeout": 0}, "timeout: input should be greater than 0, not 0"),
    ],
)
def test_words_that_may_not_be_used_are_refused(words, message):
    with pytest.raises(UsageError) as refused:
        identify("endpoint", **(WORDS | words))
    assert message in refused.value.messages[0]
    assert "pass@" not in refused.value.messages[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "the variable RG_TEST_HEADERS is not set on this host"),
        (SECRET, 'must hold lines of the form "Name: value"'),
    ],
)
def test_headers_that_cannot_be_read_are_refused_without_telling_them(monkeypatch, content, message):
    monkeypatch.delenv("RG_TEST_HEADERS", raising=False)
    if content is not None:
        monkeypatch.setenv("RG_TEST_HEADERS", content)
    with pytest.raises(UsageError, match=message) as refused:
        bring("endpoint", url="https://models.example/p", headers_env="RG_TEST_HEADERS", **WORDS)
    assert SECRET not in str(refused.value)
