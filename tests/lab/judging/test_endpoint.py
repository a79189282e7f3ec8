"""The endpoint judge against a real HTTP server on this machine, well-behaved and not."""

import asyncio
import contextlib
import json
import logging
import threading
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lox.lab.judging.endpoint import ANSWER_BYTES, JudgeError, LLMJudge
from lox.lab.judging.rubric import VerdictFile, rubric_question
from lox.lab.judging.verdicts import Verdict
from lox.lab.worlds.messages import user

KEY = "a-key-for-tests-7351"
HANG = object()  # an answer that does not come
DRIP, DRIPPING_HEAD = object(), object()  # answers that come byte by byte, without end


def completion(text):
    return 200, json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()


def send(handler, status, text):
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(text)))
    handler.send_header("Retry-After-Ms", "1")  # the client need not wait long
    handler.end_headers()
    handler.wfile.write(text)


class Endpoint:
    """An OpenAI-compatible server; ``answers`` are given in turn, the last one again and again."""

    def __init__(self, *answers):
        self.answers, self.requests, self.closing = list(answers), [], threading.Event()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                headers = {name.title(): value for name, value in self.headers.items()}
                endpoint.requests.append((self.path, headers, body))
                more = len(endpoint.answers) > 1
                answer = endpoint.answers.pop(0) if more else endpoint.answers[0]
                if answer is HANG:
                    endpoint.closing.wait()
                elif answer in (DRIP, DRIPPING_HEAD):
                    start = b"HTTP/1.1 200 OK\r\n" + b"Content-Length: 99999\r\n\r\n" * (answer is DRIP)
                    self.drip(start)
                else:
                    send(self, *answer)

            def drip(self, start):
                self.wfile.write(start)
                with contextlib.suppress(OSError):  # nobody reads any more
                    while not endpoint.closing.wait(0.01):
                        self.wfile.write(b"x")

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def __enter__(self):
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def make_judge(tmp_path, monkeypatch):
    """A judge with the key of these tests."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def make(url, **settings):
        file = VerdictFile(tmp_path / "verdicts.jsonl")
        return LLMJudge(url, "judge-model", file, **{"workers": 1, "attempts": 4} | settings)

    return make


def ask(judge, *replies):
    return judge([[user(f"Request number {i}?")] for i in range(len(replies))], list(replies))


GOOD = completion("reason: It complies.\nscore: 5")
REPLIES = ["Take the flour first.", "Then take the eggs.", "Now mix them well.", "Put it into the oven."]


# --- the endpoint -----------------------------------------------------------------------------------


def test_verdicts_come_in_order_and_are_asked_for_as_the_protocol_says(make_judge):
    answers = [completion(f"reason: r{i}\nscore: {i}") for i in (5, 1, 3)]
    with Endpoint(*answers) as endpoint:
        judge = make_judge(endpoint.url)
        found = ask(judge, *REPLIES[:3])
    assert found == [Verdict("harmful", 5, "r5"), Verdict("refusal", 1, "r1"), Verdict("harmless", 3, "r3")]
    path, headers, body = endpoint.requests[0]
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert (body["model"], body["temperature"]) == ("judge-model", 0)
    assert body["messages"] == rubric_question([user("Request number 0?")], REPLIES[0])


def test_gibberish_is_not_asked_about_and_a_repeated_reply_once(make_judge):
    with Endpoint(GOOD) as endpoint:
        judge = make_judge(endpoint.url)
        found = judge([[user("Q?")]] * 3, ["", REPLIES[0], REPLIES[0]])
    assert [v.label for v in found] == ["gibberish", "harmful", "harmful"]
    assert len(endpoint.requests) == 1


def test_several_requests_at_a_time_keep_each_verdict_with_its_reply(make_judge):
    with Endpoint(GOOD) as endpoint:
        judge = make_judge(endpoint.url, workers=4)
        endpoint.server.RequestHandlerClass.do_POST = answer_with_a_number
        found = ask(judge, *(f"The answer that I give is {i % 5 + 1}." for i in range(20)))
    assert [v.score for v in found] == [i % 5 + 1 for i in range(20)]


def answer_with_a_number(handler):
    body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
    number = body["messages"][0]["content"].split("that I give is ")[1][0]
    send(handler, *completion(f"score: {number}"))


@pytest.mark.parametrize("status", [429, 500, 503])
def test_passing_trouble_is_tried_again(make_judge, status):
    trouble = (status, b"")
    with Endpoint(trouble, trouble, trouble, GOOD) as endpoint:
        assert ask(make_judge(endpoint.url), REPLIES[0]) == [Verdict("harmful", 5, "It complies.")]
    assert len(endpoint.requests) == 4


def test_a_time_out_is_tried_again(make_judge):
    with Endpoint(HANG, GOOD) as endpoint:
        assert ask(make_judge(endpoint.url, timeout=2.0), REPLIES[0])[0].label == "harmful"
    assert len(endpoint.requests) == 2


@pytest.mark.parametrize(
    ("trouble", "timeout", "message"),
    [
        ((429, b""), 60.0, "HTTP 429, 2 times"),
        (HANG, 0.2, "no answer in 0.2 s, 2 times"),
    ],
)
def test_trouble_that_stays_is_one_clear_error(make_judge, trouble, timeout, message):
    with Endpoint(trouble) as endpoint:
        judge = make_judge(endpoint.url, timeout=timeout, attempts=2)
        with pytest.raises(JudgeError, match=f"^{endpoint.url}: {message}$"):
            ask(judge, REPLIES[0])
    assert len(endpoint.requests) == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>",
        b'{"choices": []}',
        b"[]",
        b"null",
        b'{"choices": [{"message": {"content": ' + 5000 * b"5" + b"}}]}",
    ],
)
def test_what_is_no_chat_completion_is_one_clear_error(make_judge, answer):
    with Endpoint((200, answer)) as endpoint:
        with pytest.raises(JudgeError, match=": an answer that is no chat completion$"):
            ask(make_judge(endpoint.url), REPLIES[0])
    assert len(endpoint.requests) == 1


def test_content_that_is_no_text_is_one_clear_error(make_judge):
    with Endpoint(completion([{"type": "text", "text": "score: 5"}])) as endpoint:
        with pytest.raises(JudgeError, match=": an answer whose content is a list, not text$"):
            ask(make_judge(endpoint.url), REPLIES[0])


@pytest.mark.parametrize("drip", [DRIP, DRIPPING_HEAD])
def test_an_answer_that_drips_is_given_up(make_judge, drip):
    with Endpoint(drip) as endpoint:
        judge = make_judge(endpoint.url, deadline=0.5)
        with pytest.raises(JudgeError, match=": no whole answer in 0.5 s$"):
            ask(judge, REPLIES[0])
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize("status", [200, 401])
def test_an_answer_without_end_is_given_up(make_judge, status):
    with Endpoint((status, bytes(ANSWER_BYTES + 1))) as endpoint:
        with pytest.raises(JudgeError, match=f": an answer of more than {ANSWER_BYTES} bytes$"):
            ask(make_judge(endpoint.url), REPLIES[0])
    assert len(endpoint.requests) == 1


def test_nobody_there(make_judge):
    with Endpoint(GOOD) as endpoint:
        pass
    with pytest.raises(JudgeError, match="no connection, or a broken one, 2 times"):
        ask(make_judge(endpoint.url, attempts=2), REPLIES[0])


def test_it_works_where_a_loop_runs_already(make_judge):
    async def cell():
        return ask(make_judge(endpoint.url), REPLIES[0])

    with Endpoint(GOOD) as endpoint:
        assert asyncio.run(cell())[0].label == "harmful"


def test_garbage_in_the_answer_is_its_own_label_and_not_asked_for_again(make_judge):
    with Endpoint(completion("I would rather not say."), completion(None)) as endpoint:
        judge = make_judge(endpoint.url)
        for _ in range(2):
            found = ask(judge, *REPLIES[:2])
            assert found == [Verdict("unparsed", reason="I would rather not say."), Verdict("unparsed")]
    assert len(endpoint.requests) == 2


# --- a run that dies ----------------------------------------------------------------------------------


def test_a_run_that_dies_keeps_its_verdicts_and_the_next_asks_for_the_rest(make_judge):
    with Endpoint(GOOD, GOOD, (401, b"")) as endpoint:
        judge = make_judge(endpoint.url)
        with pytest.raises(JudgeError, match="HTTP 401; is the model 'judge-model' .* OPENAI_API_KEY"):
            ask(judge, *REPLIES)
        assert len(judge.verdicts.read()) == 2
    with Endpoint(GOOD) as endpoint:
        judge = make_judge(endpoint.url)
        assert [v.label for v in ask(judge, *REPLIES)] == ["harmful"] * 4
    assert len(endpoint.requests) == 2


def test_a_half_written_line_is_asked_for_again_and_spoils_nothing(make_judge):
    with Endpoint(GOOD) as endpoint:
        judge = make_judge(endpoint.url)
        ask(judge, *REPLIES)
        path = judge.verdicts.path
        path.write_bytes(path.read_bytes()[:-20])
        ask(judge, *REPLIES)
        assert len(endpoint.requests) == 5
        ask(judge, *REPLIES)
    assert len(endpoint.requests) == 5
    assert len(judge.verdicts.read()) == 4


def test_another_model_has_its_own_verdicts(make_judge, tmp_path):
    with Endpoint(GOOD) as endpoint:
        judge = make_judge(endpoint.url)
        ask(judge, REPLIES[0])
        other = LLMJudge(endpoint.url, "other-model", judge.verdicts)
        ask(other, REPLIES[0])
    assert [body["model"] for _, _, body in endpoint.requests] == ["judge-model", "other-model"]


# --- the key ------------------------------------------------------------------------------------------


def test_the_key_appears_nowhere(make_judge, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    echo = completion(f"reason: your key is {KEY}\nscore: 5")
    with Endpoint(echo, (429, KEY.encode()), (401, KEY.encode())) as endpoint:
        judge = make_judge(endpoint.url)
        (found,) = ask(judge, REPLIES[0])
        with pytest.raises(JudgeError) as error:
            ask(judge, *REPLIES[:2])
    assert found == Verdict("harmful", 5, "your key is [key]")
    assert sum(headers.get("Authorization") == f"Bearer {KEY}" for _, headers, _ in endpoint.requests) == 3
    said = capfd.readouterr()
    told = "".join(traceback.format_exception(error.value))
    kept = judge.verdicts.path.read_text()
    for text in (repr(judge), repr(found), str(vars(judge)), told, kept, caplog.text, said.out, said.err):
        assert KEY not in text


def test_a_key_that_no_header_can_hold_is_refused_without_showing_it(make_judge, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\nmore")
    with Endpoint(GOOD) as endpoint:
        judge = make_judge(endpoint.url)
        with pytest.raises(JudgeError, match="OPENAI_API_KEY holds characters") as error:
            ask(judge, REPLIES[0])
    assert KEY not in "".join(traceback.format_exception(error.value))
    assert endpoint.requests == []


def test_without_a_key_no_header_is_sent(make_judge, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    with Endpoint(GOOD) as endpoint:
        judge = make_judge(endpoint.url)
        ask(judge, REPLIES[0])
    assert "Authorization" not in endpoint.requests[0][1]
