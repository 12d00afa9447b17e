"""The model provider ``rehearsal``: real SDK, real CLI, real tools, and a model that plays lessons."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING

from anyio import to_thread

from llmos_core import Billing, ModelReply, ModelRequest, Notice, Run, Task, UsageError

if TYPE_CHECKING:
    from llmos_plugin_rehearsal.lesson import Lesson, Lessons

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
        """Raises UsageError with the list of lessons if none matches the goal. Reads files; warns of broken ones."""
        from llmos_plugin_rehearsal.lesson import find_lesson, known_lessons

        if task.continues is not None:
            raise UsageError("A scripted model cannot go on with a conversation.", "It plays lessons from their start.")
        lessons = _kept(run) or _keep(run, known_lessons(run.workspace))
        if find_lesson(lessons, task.goal) is None:
            raise UsageError(
                "No lesson matches this goal.",
                f"Rehearsal is a scripted model; without a key it knows only these goals:\n{_listed(lessons)}",
                "For any other goal say how a model is reached: llmos init (or export ANTHROPIC_API_KEY=...)",
            )

    @asynccontextmanager
    async def open(self, request: ModelRequest, run: Run) -> AsyncIterator[ModelReply]:
        """The next message of the lesson that the conversation is about."""
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


async def _lessons(run: Run) -> Sequence[Lesson]:
    from llmos_plugin_rehearsal.lesson import known_lessons

    return _kept(run) or _keep(run, await to_thread.run_sync(known_lessons, run.workspace))


def _kept(run: Run) -> tuple[Lesson, ...]:
    """The lessons of this run: they are read once, so that a file edited meanwhile changes no conversation."""
    lessons: tuple[Lesson, ...] = run.state.get(_STATE, ())
    return lessons


def _keep(run: Run, lessons: Lessons) -> tuple[Lesson, ...]:
    for fault in lessons.faults:
        run.emit(Notice(level="warning", text=f"{fault.what} {fault.why}. The other lessons are used."))
    run.state[_STATE] = lessons.usable
    return lessons.usable


async def _chunks(parts: Iterable[bytes]) -> AsyncGenerator[bytes]:
    for part in parts:
        yield part


def _listed(lessons: Sequence[Lesson]) -> str:
    shown = [lesson for lesson in lessons if not lesson.hidden]
    width = max((len(lesson.name) for lesson in shown), default=0)
    return "\n".join(f"  {lesson.name:{width}}  {lesson.example}" for lesson in shown)
