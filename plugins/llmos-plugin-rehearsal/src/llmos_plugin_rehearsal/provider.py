"""The model provider ``rehearsal``: real SDK, real CLI, real tools, and a model that plays lessons."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING

from anyio import to_thread

from llmos_core import Billing, ModelReply, ModelRequest, Run, Task, UsageError

if TYPE_CHECKING:
    from llmos_plugin_rehearsal.lesson import Lesson

_STATE = "rehearsal"


class RehearsalProvider:
    """Answers Messages requests from lessons; needs no key and no network."""

    name = "rehearsal"
    billing: Billing = "rehearsal"
    fallback = True

    def unready(self) -> str | None:
        """None: a script is always ready."""
        return None

    def notices(self) -> Sequence[str]:
        """One line that says what this model is."""
        return (
            "Rehearsal: no API key is in use, so a scripted model answers (costs are list prices, nothing is paid).",
        )

    def secrets(self) -> Sequence[str]:
        """There are none."""
        return ()

    def priced(self, model: str, run: Run) -> bool:
        """True: costs are shown as the list price of the model named in the request."""
        return True

    def check(self, task: Task, run: Run) -> None:
        """Raises UsageError with the list of lessons if none matches the goal. Reads files."""
        from llmos_plugin_rehearsal.lesson import find_lesson, known_lessons

        lessons = known_lessons(run.workspace)
        if find_lesson(lessons, task.goal) is None:
            raise UsageError(
                "No lesson matches this goal.",
                f"Rehearsal is a scripted model; without a key it knows only these goals:\n{_listed(lessons)}",
                "For any other goal give a key: export ANTHROPIC_API_KEY=...",
            )

    @asynccontextmanager
    async def open(self, request: ModelRequest, run: Run) -> AsyncIterator[ModelReply]:
        """The next message of the lesson that the conversation is about. Raises UsageError for a broken lesson."""
        from llmos_plugin_rehearsal import wire
        from llmos_plugin_rehearsal.conversation import Conversation
        from llmos_plugin_rehearsal.engine import next_message

        message = next_message(
            await _lessons(run),
            Conversation.of(request.message),
            {"workdir": str(run.workdir.absolute()), "workspace": str(run.workspace.absolute())},
            run.task.goal if request.agent_id is None else None,
        )
        if request.message.get("stream"):
            kind, parts = "text/event-stream", wire.events(message, request.model, len(request.body))
        else:
            kind, parts = "application/json", iter([wire.complete(message, request.model, len(request.body))])
        async with aclosing(_chunks(parts)) as chunks:
            yield ModelReply(200, chunks, (("content-type", kind),))


async def _lessons(run: Run) -> tuple[Lesson, ...]:
    """The lessons of this run, read once, so that a file edited meanwhile changes no conversation."""
    from llmos_plugin_rehearsal.lesson import known_lessons

    if _STATE not in run.state:
        run.state[_STATE] = await to_thread.run_sync(known_lessons, run.workspace)
    lessons: tuple[Lesson, ...] = run.state[_STATE]
    return lessons


async def _chunks(parts: Iterable[bytes]) -> AsyncGenerator[bytes]:
    for part in parts:
        yield part


def _listed(lessons: Sequence[Lesson]) -> str:
    shown = [lesson for lesson in lessons if not lesson.hidden]
    width = max((len(lesson.name) for lesson in shown), default=0)
    return "\n".join(f"  {lesson.name:{width}}  {lesson.example}" for lesson in shown)
