"""Chat messages, as plain dictionaries."""

from __future__ import annotations

Message = dict[str, str]
Messages = list[Message]


def user(content: str) -> Message:
    return {"role": "user", "content": content}


def assistant(content: str) -> Message:
    return {"role": "assistant", "content": content}


def example(prompt: Messages, completion: str) -> dict:
    """A fine-tuning example."""
    return {"prompt": prompt, "completion": [assistant(completion)]}
