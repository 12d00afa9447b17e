"""The scripted model itself: from a conversation to its next message. It keeps no state between requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from llmos_core import LLMOSError
from llmos_plugin_rehearsal.conversation import CallResult, Conversation
from llmos_plugin_rehearsal.goals import fold
from llmos_plugin_rehearsal.lesson import Lesson, Turn, find_lesson
from llmos_plugin_rehearsal.placeholders import fill, fill_text


@dataclass(frozen=True, slots=True)
class Message:
    """The model's next message; without calls it ends the conversation."""

    text: str
    calls: tuple[tuple[str, JsonValue], ...] = ()


def next_message(
    lessons: Sequence[Lesson], conversation: Conversation, places: Mapping[str, str], goal: str | None
) -> Message:
    """What the model says now.

    ``places`` are the values of ``{{workdir}}`` and ``{{workspace}}``. ``goal`` is the goal of the run where the main
    agent asks: it is looked for inside the opening if no text there is a goal as a whole. Raises LLMOSError where the
    lesson cannot go on: a scripted model must not claim success after a failure.
    """
    found = next(filter(None, (find_lesson(lessons, text) for text in conversation.opening)), None)
    if found is None and goal is not None and any(fold(goal) in fold(text) for text in conversation.opening):
        found = find_lesson(lessons, goal)
    if found is None:
        return Message("The rehearsal has no lesson for this request.")
    lesson, parameters = found
    return _play(lesson, conversation, {**places, **parameters, **_result_values(conversation.results)})


def _play(lesson: Lesson, conversation: Conversation, values: Mapping[str, str]) -> Message:
    makers = [turn for turn in lesson.turns for _ in turn.tools]
    for maker, result in zip(makers, conversation.results, strict=False):
        if result.failed and not maker.may_fail:
            return _after_failure(maker, result, values)
    if conversation.turn >= len(lesson.turns):
        return Message("The lesson is over.")
    if len(conversation.results) != sum(len(turn.tools) for turn in lesson.turns[: conversation.turn]):
        raise _stopped("The conversation does not follow the lesson.")
    return _say(lesson.turns[conversation.turn], conversation, values)


def _say(turn: Turn, conversation: Conversation, values: Mapping[str, str]) -> Message:
    calls = []
    for tool, given in turn.calls:
        name = conversation.offered_name(tool)
        if name is None:
            raise _stopped(f"The tool {tool} is not offered.")
        calls.append((name, fill({**given}, values)))
    text = fill_text(turn.text, values)
    return Message(text if calls or text.strip() else "(nothing)", tuple(calls))


def _after_failure(maker: Turn, result: CallResult, values: Mapping[str, str]) -> Message:
    if maker.on_error is not None:
        return Message(fill_text(maker.on_error, values))
    raise _stopped(f"{result.tool.rpartition('__')[2]} failed: {result.text}")


def _stopped(why: str) -> LLMOSError:
    fix = "A script cannot find another way: mend the cause, or use a real model: llmos init"
    return LLMOSError("The rehearsal stopped.", why, fix)


def _result_values(results: Sequence[CallResult]) -> dict[str, str]:
    values = {f"results.{number}": result.text for number, result in enumerate(results, start=1)}
    if results:
        values["results.last"] = results[-1].text
    return values
