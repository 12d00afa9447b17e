from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmos_core import ModelProvider, Run, Task, UsageError
from llmos_plugin_rehearsal.plugin import llmos_models
from llmos_plugin_rehearsal.provider import RehearsalProvider

PRIMES = "Create a Python script that prints the primes below 30 and run it"
ECHO = """
name: echo
goal: Echo {{what:word}}
about: Runs two commands.
example: Echo hello
turns:
  - text: First.
    tools:
      - Bash: {command: "echo '{{what}} {{{{what}}'"}
      - Bash: {command: "pwd"}
  - tools:
      - Bash: {command: "FAIL", note: "{{results.1}} / {{results.last}}"}
    on_error: "Sorry, {{what}}: {{results.last}}"
  - text: "Done: {{results.3}}"
"""
ASK = """
name: ask
goal: Ask a helper for {{what:word}}
about: Delegates.
example: Ask a helper for echo
turns:
  - tools:
      - Agent: {description: help, prompt: "Answer {{what}}", subagent_type: helper}
  - text: "The helper says: {{results.last}}"
"""
ANSWER = """
name: answer
goal: Answer {{what:word}}
about: Answers a delegated question.
example: Answer echo
hidden: true
turns:
  - text: "{{what}} it is"
"""
UNKNOWN = """\
No lesson matches this goal.
Rehearsal is a scripted model; without a key it knows only these goals:
  api-table     Serve data/planets.json as a JSON API on this machine and write what it answers as a table to planets.md
  count-files   Count the files in data by type and write the table to files.md
  csv-report    Summarise the figures in data/co2.csv in a Markdown report co2.md
  git-history   Summarise the Git history of data/garden.fi by author and month in history.md
  log-report    Report the errors in data/shop.log by hour and kind in errors.md
  primes        Create a Python script that prints the primes below 100 and run it
  rename-files  Copy data/photos to photos, rename files like photo_1.txt to 001-photo.txt and list them in names.md
  repair-test   Copy the Python project data/basket to basket and make its failing test pass
For any other goal say how a model is reached: llmos init (or export ANTHROPIC_API_KEY=...)"""

MakeAgent = Callable[..., Any]
Stopped = Callable[..., Any]
AddLesson = Callable[[str, str], Path]


def user(*blocks: dict[str, Any] | str) -> dict[str, Any]:
    content = [{"type": "text", "text": block} if isinstance(block, str) else block for block in blocks]
    return {"role": "user", "content": content}


def called(id: str, name: str) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": name, "input": {}}]}


def result(id: str, content: Any, is_error: bool = False) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": id, "content": content, "is_error": is_error}


def test_the_provider_is_the_free_fallback() -> None:
    (provider,) = llmos_models()
    assert isinstance(provider, ModelProvider)
    assert (provider.name, provider.billing, provider.fallback) == ("rehearsal", "rehearsal", True)
    assert provider.unready() is None
    assert provider.secrets() == ()
    assert provider.notices() == (
        "Rehearsal: no API key is in use, so a scripted model answers (costs are list prices, nothing is paid).",
    )


def test_a_known_goal_passes_the_check_and_has_a_price(make_run: Callable[..., Run]) -> None:
    RehearsalProvider().check(Task(goal=PRIMES), make_run())
    assert RehearsalProvider().priced("claude-sonnet-5", make_run())


@pytest.mark.parametrize("goal", ["Write a poem", PRIMES + " twice", "Do not " + PRIMES, PRIMES.replace("30", "3.5")])
def test_an_unknown_goal_gets_the_list_of_lessons(goal: str, make_run: Callable[..., Run]) -> None:
    with pytest.raises(UsageError) as caught:
        RehearsalProvider().check(Task(goal=goal), make_run())
    assert str(caught.value) == UNKNOWN


def test_the_check_knows_the_workspace(make_run: Callable[..., Run], add_lesson: AddLesson) -> None:
    provider, run = RehearsalProvider(), make_run()
    add_lesson("ask", ASK)
    add_lesson("answer", ANSWER)
    provider.check(Task(goal="ask a helper for Echo"), run)
    with pytest.raises(UsageError) as caught:
        provider.check(Task(goal="Write a poem"), run)
    assert f"  {'ask':12}  Ask a helper for echo" in caught.value.why
    assert "Answer echo" not in caught.value.why


async def test_a_broken_lesson_is_a_warning_and_the_others_are_played(
    make_agent: MakeAgent, add_lesson: AddLesson
) -> None:
    path = add_lesson("broken", "name: [")
    add_lesson("answer", ANSWER)
    agent = make_agent()
    assert agent.provider.unready() is None
    agent.provider.check(Task(goal=PRIMES), agent.run)
    assert await agent.work("Answer tea") == "tea it is"
    [notice] = agent.run.events
    assert notice.level == "warning"
    assert notice.text.startswith(f"The lesson {path} cannot be used. line 2: ")
    assert notice.text.endswith(" The other lessons are used.")


async def test_a_broken_lesson_is_told_where_nothing_was_checked_before(
    make_agent: MakeAgent, add_lesson: AddLesson
) -> None:
    add_lesson("broken", "name: [")
    add_lesson("answer", ANSWER)
    agent = make_agent()
    assert await agent.work("Answer tea") == "tea it is"
    assert len(agent.run.events) == 1


async def test_a_turn_that_may_fail_does_not_end_the_lesson(make_agent: MakeAgent, add_lesson: AddLesson) -> None:
    failing = ECHO.replace('    on_error: "Sorry, {{what}}: {{results.last}}"\n', "    may_fail: true\n")
    add_lesson("echo", failing.replace("FAIL", "echo bad; exit 3"))
    assert await make_agent().work("Echo you") == "Done: Exit code 3\nbad"


@pytest.mark.parametrize("stream", [True, False])
async def test_a_lesson_is_played_to_its_end(make_agent: MakeAgent, add_lesson: AddLesson, stream: bool) -> None:
    add_lesson("echo", ECHO.replace("FAIL", "echo three"))
    agent = make_agent(stream=stream)
    assert await agent.work("echo You") == "Done: three"
    assert agent.calls == [
        ("Bash", {"command": "echo 'You {{what}}'"}),
        ("Bash", {"command": "pwd"}),
        ("Bash", {"command": "echo three", "note": f"You {{{{what}}}} / {agent.run.workdir}"}),
    ]


async def test_a_failed_tool_ends_the_lesson_with_its_own_words(make_agent: MakeAgent, add_lesson: AddLesson) -> None:
    add_lesson("echo", ECHO.replace("FAIL", "echo bad; exit 3"))
    assert await make_agent().work("Echo you") == "Sorry, you: Exit code 3\nbad"


async def test_a_failed_tool_never_ends_in_success(
    make_agent: MakeAgent, add_lesson: AddLesson, stopped: Stopped
) -> None:
    add_lesson("echo", ECHO.replace("pwd", "echo bad; exit 3"))
    agent = make_agent()
    assert await stopped(agent.work("Echo you")) == "Bash failed: Exit code 3\nbad"
    assert len(agent.calls) == 2


async def test_a_lesson_stays_stopped_when_it_is_asked_again(make_agent: MakeAgent, stopped: Stopped) -> None:
    said = {"role": "assistant", "content": [{"type": "text", "text": "The rehearsal stopped."}]}
    messages = [user(PRIMES), called("a", "mcp__llmos__Write"), user(result("a", "no", True)), said, user("Go on")]
    reply = await stopped(make_agent().ask([*messages, said, user("Go on")]))
    assert reply == "Write failed: no"


async def test_a_sub_agent_is_answered_by_its_own_lesson(make_agent: MakeAgent, add_lesson: AddLesson) -> None:
    add_lesson("ask", ASK)
    add_lesson("answer", ANSWER)
    assert await make_agent("Ask a helper for tea").work("Ask a helper for tea") == "The helper says: tea it is"


async def test_a_sub_agent_is_not_answered_by_the_goal_of_the_run(make_agent: MakeAgent) -> None:
    messages = [user(f"Think about this goal: {PRIMES}")]
    agent = make_agent(PRIMES)
    assert (await agent.ask(messages, agent_id="sub-1")).text == "The rehearsal has no lesson for this request."
    assert (await agent.ask(messages)).calls


async def test_a_tool_that_is_not_offered_ends_the_lesson(make_agent: MakeAgent, stopped: Stopped) -> None:
    agent = make_agent(offered=("mcp__llmos__OverWrite", "mcp__llmos__Bash"))
    assert await stopped(agent.work(PRIMES)) == "The tool Write is not offered."


async def test_a_tool_offered_by_its_own_name_is_preferred(make_agent: MakeAgent) -> None:
    reply = await make_agent(offered=("mcp__other__Write", "Write")).ask([user(PRIMES)])
    assert reply.calls[0]["name"] == "Write"


@pytest.mark.parametrize(
    "opening",
    [
        [{"role": "user", "content": PRIMES}],
        [user(f"<system-reminder>a\nb</system-reminder>\n{PRIMES}\n<system-reminder>c</system-reminder>\n")],
        [user("<system-reminder>a</system-reminder>"), {"role": "system", "content": "x"}, user(PRIMES)],
    ],
)
async def test_the_goal_is_found_among_reminders(make_agent: MakeAgent, opening: list[dict[str, Any]]) -> None:
    for agent_id in (None, "sub-1"):
        assert (await make_agent().ask(opening, agent_id)).calls[0]["name"] == "mcp__llmos__Write"


async def test_the_goal_is_found_in_a_longer_prompt(make_agent: MakeAgent) -> None:
    opening = [user("Some remembered fact.\n\n" + PRIMES.replace("that prints", "that\nprints") + "\n\nAnd more.")]
    assert (await make_agent(PRIMES).ask(opening)).calls[0]["name"] == "mcp__llmos__Write"


@pytest.mark.parametrize(
    "messages",
    [
        [user("What is a good title?")],
        [user("<system-reminder>" + PRIMES + "</system-reminder>")],
        [{"role": "system", "content": PRIMES}, user("Hello")],
        [user("Hello"), {"role": "assistant", "content": "Hi"}, user(PRIMES)],
        [],
    ],
)
async def test_a_request_without_a_lesson_gets_a_short_answer(make_agent: MakeAgent, messages: list[Any]) -> None:
    for goal in (PRIMES, "some other goal"):
        reply = await make_agent(goal).ask(messages)
        assert reply.text == "The rehearsal has no lesson for this request."
    assert reply.stop_reason == "end_turn"


async def test_results_count_in_the_order_of_the_calls(make_agent: MakeAgent, add_lesson: AddLesson) -> None:
    add_lesson("echo", ECHO)
    both = called("a", "Bash")
    both["content"] += called("b", "Bash")["content"]
    second = [{"type": "text", "text": "two"}, {"type": "image", "source": {}}, {"type": "text", "text": "lines"}]
    reply = await make_agent().ask([user("Echo you"), both, user(result("b", second), result("a", "one"))])
    assert reply.calls[0]["input"]["note"] == "one / two\nlines"


async def test_reminders_behind_a_result_are_no_part_of_it(make_agent: MakeAgent, add_lesson: AddLesson) -> None:
    add_lesson("echo", ECHO)
    reminder = {"type": "text", "text": "<system-reminder>\n9 tokens left\n</system-reminder>"}
    both = called("a", "Bash")
    both["content"] += called("b", "Bash")["content"]
    results = user(result("a", [{"type": "text", "text": "one\n"}, reminder]), result("b", [reminder]))
    reply = await make_agent().ask([user("Echo you"), both, results])
    assert reply.calls[0]["input"]["note"] == f"one / {reminder['text']}"


async def test_a_conversation_that_leaves_the_script_is_stopped(make_agent: MakeAgent, stopped: Stopped) -> None:
    agent = make_agent()
    lost = await stopped(agent.ask([user(PRIMES), called("a", "mcp__llmos__Write"), user("Go on")]))
    assert lost == "Write failed: no result came back"
    both = called("a", "Write")
    both["content"] += called("b", "Write")["content"]
    strange = await stopped(agent.ask([user(PRIMES), both, user(result("a", "ok"), result("b", "ok"))]))
    assert strange == "The conversation does not follow the lesson."
    said = {"role": "assistant", "content": "x"}
    assert (await agent.ask([user(PRIMES), said, said, said])).text == "The lesson is over."


async def test_an_empty_answer_is_said_in_words(make_agent: MakeAgent, add_lesson: AddLesson) -> None:
    add_lesson("echo", ECHO.replace("Done: ", "").replace("FAIL", "true"))
    conversation = [user("Echo you"), called("a", "Bash"), user(result("a", ""))]
    conversation[1]["content"] += called("b", "Bash")["content"]
    conversation[2]["content"].append(result("b", None))
    conversation += [called("c", "Bash"), user(result("c", ""))]
    assert (await make_agent().ask(conversation)).text == "(nothing)"


async def test_lessons_are_read_once_in_a_run(make_agent: MakeAgent, add_lesson: AddLesson) -> None:
    path = add_lesson("answer", ANSWER)
    agent = make_agent()
    assert await agent.work("Answer tea") == "tea it is"
    path.write_text("broken: [")
    assert await agent.work("Answer milk") == "milk it is"
