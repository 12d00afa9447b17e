"""The scripted model of a test: a server in a thread of its own, for tests of any kind and for other processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from anyio.from_thread import start_blocking_portal

from llmos_testkit.messages import Answer, ModelScript, scripted, turns
from llmos_testkit.model_server import ModelServer, Received, serving

KEY = "sk-ant-a-key-that-nobody-has-given"
"""The credential that the environment of a scripted model holds; it reaches the model and must reach nothing else."""


@dataclass(slots=True)
class ScriptedModel:
    """A model on loopback that stands for Anthropic.

    ``url`` is its address, ``key`` the credential in its environment, ``models`` are the names it lists. ``script``
    says what it answers; it may be changed at any time, also between two requests.

    Example::

        scripted_model.replies([use("Write", file_path="a.txt", content="a")], "It is written.")
        done = llmos_cli("run", "Write a file", **scripted_model.environment)
        assert done.stdout == "It is written.\\n"
        assert len(scripted_model.requests) == 2

    """

    server: ModelServer
    key: str = KEY
    models: list[str] = field(default_factory=list)
    script: ModelScript = field(default_factory=turns)

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def requests(self) -> list[Received]:
        """All requests for a message so far."""
        return [received for received in self.server.requests if received.method == "POST"]

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which ``llmos``, or the Claude Code CLI itself, finds this model."""
        return {"ANTHROPIC_BASE_URL": self.url, "ANTHROPIC_API_KEY": self.key}

    def replies(self, *main: Answer, agent: Sequence[Answer] = ()) -> None:
        """Answer by turns, see :func:`llmos_testkit.turns`."""
        self.script = turns(*main, agent=agent)


@contextmanager
def model_in_thread() -> Iterator[ScriptedModel]:
    """A scripted model while the context is open.

    Raises at the end what its script raised, such as LookupError where more was asked for than it holds.
    """
    models: list[str] = []

    def script(received: Received) -> Answer:
        return model.script(received)

    handler = scripted(script, models)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(serving(handler)) as server:
        model = ScriptedModel(server, models=models)
        yield model
