"""Sub-agents, as the CLI tells of them: who works for which call, when each began and ended."""

from __future__ import annotations

from claude_agent_sdk import TaskNotificationMessage, TaskStartedMessage

from llmos_core import AgentFinished, AgentStarted, Run

_AGENT = "local_agent"


class Agents:
    """The sub-agents of one run."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._by_use: dict[str | None, str] = {}
        self._names: dict[str, str] = {}

    def of(self, tool_use_id: str | None) -> str | None:
        """The id of the agent that a call of ``Agent`` started; its tool calls and requests carry the same."""
        return self._by_use.get(tool_use_id)

    def note(self, message: TaskStartedMessage | TaskNotificationMessage) -> None:
        """Take note of an agent that began, or ended in whatever way."""
        if isinstance(message, TaskStartedMessage):
            if message.task_type == _AGENT:
                self._by_use[message.tool_use_id] = message.task_id
                name = self._names[message.task_id] = str(message.data.get("subagent_type", ""))
                task = str(message.data.get("prompt", message.description))
                self._run.emit(AgentStarted(agent_id=message.task_id, name=name, task=task))
        elif message.task_id in self._names:
            self._run.emit(AgentFinished(agent_id=message.task_id, name=self._names.pop(message.task_id)))
