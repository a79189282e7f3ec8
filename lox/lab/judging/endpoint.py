"""The rubric asked of an endpoint that speaks OpenAI's protocol, through OpenAI's client."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from concurrent.futures import as_completed
from dataclasses import dataclass, replace

from anyio.from_thread import start_blocking_portal
from openai import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AsyncOpenAI,
    DefaultAsyncHttpxClient,
    Omit,
    OpenAIError,
)

from lox.lab.judging.rubric import ANSWER_TOKENS, RubricJudge, VerdictFile, read_verdict
from lox.lab.judging.verdicts import Verdict
from lox.lab.worlds.messages import Messages

ANSWER_BYTES = 2**20  # a thousand times what ``ANSWER_TOKENS`` need

NO_KEY = "none"  # the client wants a key; this one it does not send


class JudgeError(ConnectionError):
    """The judge cannot be reached or will not answer; says where and why, never the key."""


@dataclass(frozen=True)
class LLMJudge(RubricJudge):
    """A model behind an OpenAI-compatible endpoint, ``url`` ending in "/v1".

    The key is read from the environment variable ``key_variable`` and kept nowhere, also where an answer repeats it;
    a server that wants none needs none. The client tries time-outs (``timeout`` in seconds), broken connections, 429
    and 5xx again, ``attempts`` times in all, after waits that double. After ``deadline`` seconds a question is given
    up, whatever has come by then. Raises JudgeError.
    """

    kind = "endpoint"
    url: str
    model: str
    verdicts: VerdictFile
    key_variable: str = "OPENAI_API_KEY"
    timeout: float = 60
    deadline: float = 300
    attempts: int = 6
    workers: int = 4

    def _judged(self, questions: dict[str, Messages]) -> Iterator[tuple[str, Verdict]]:
        """``workers`` requests at a time, in a thread of their own; the first failure ends the others."""
        if not questions:
            return
        key, at_once = self._key(), asyncio.Semaphore(self.workers)
        with (
            start_blocking_portal() as portal,
            portal.wrap_async_context_manager(self._client(key)) as client,
        ):
            waiting = {
                portal.start_task_soon(self._ask, client, at_once, q): name for name, q in questions.items()
            }
            try:
                for done in as_completed(waiting):
                    yield waiting[done], _without(key, read_verdict(done.result()))
            finally:
                for future in waiting:
                    future.cancel()

    async def _ask(self, client: AsyncOpenAI, at_once: asyncio.Semaphore, question: Messages) -> str:
        try:
            async with at_once, asyncio.timeout(self.deadline):
                completion = await client.chat.completions.create(
                    model=self.model,
                    messages=question,
                    temperature=0,
                    max_tokens=ANSWER_TOKENS,
                    extra_headers={} if client.api_key != NO_KEY else {"Authorization": Omit()},
                )
                content = completion.choices[0].message.content or ""
        except APIStatusError as error:  # without the body, in which some servers repeat the key
            again = error.status_code == 429 or error.status_code >= 500
            advice = f"; is the model {self.model!r} there, and is {self.key_variable} set to a valid key?"
            failure = f"HTTP {error.status_code}" + (f", {self.attempts} times" if again else advice)
        except APITimeoutError:
            failure = f"no answer in {self.timeout:g} s, {self.attempts} times"
        except APIConnectionError:
            failure = f"no connection, or a broken one, {self.attempts} times"
        except TimeoutError:
            failure = f"no whole answer in {self.deadline:g} s"
        except _TooLong:
            failure = f"an answer of more than {ANSWER_BYTES} bytes"
        except (OpenAIError, ValueError, LookupError, TypeError, AttributeError):
            failure = "an answer that is no chat completion"
        else:
            if isinstance(content, str):
                return content
            failure = f"an answer whose content is a {type(content).__name__}, not text"
        raise JudgeError(f"{self.url}: {failure}")

    def _client(self, key: str) -> AsyncOpenAI:
        return AsyncOpenAI(
            base_url=self.url,
            api_key=key or NO_KEY,
            timeout=self.timeout,
            max_retries=self.attempts - 1,
            http_client=_Bounded(),
        )

    def _key(self) -> str:
        key = os.environ.get(self.key_variable, "").strip()
        if not (key.isascii() and key.isprintable()):  # else the client's error would show it
            raise JudgeError(f"{self.key_variable} holds characters that no key has")
        return key


class _TooLong(OpenAIError):
    """Of such errors the client makes no others, and it does not try again."""


class _Bounded(DefaultAsyncHttpxClient):
    """Takes no response of more than ``ANSWER_BYTES``, whatever its status."""

    async def send(self, request, *, stream: bool = False, **options):
        response = await super().send(request, stream=True, **options)
        body = bytearray()
        try:
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > ANSWER_BYTES:
                    raise _TooLong
        finally:
            await response.aclose()
        whole = {"headers": response.headers, "content": bytes(body), "request": request}
        return type(response)(response.status_code, **whole)


def _without(key: str, verdict: Verdict) -> Verdict:
    """The verdict with a reason that does not show the key."""
    return replace(verdict, reason=verdict.reason.replace(key, "[key]")) if key else verdict
