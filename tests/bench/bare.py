"""A bare script on the Claude Agent SDK: the same lesson with the same two tools, and nothing of LLM OS.

Run as ``python bare.py BASE_URL GOAL FOLDER``.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

from claude_agent_sdk import ClaudeAgentOptions, ClaudeSDKClient, ResultMessage, create_sdk_mcp_server, tool

BASE_URL, GOAL, FOLDER = sys.argv[1], sys.argv[2], Path(sys.argv[3])


def text(content: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": content}]}


@tool("Write", "Write a file.", {"file_path": str, "content": str})
async def write(args: dict[str, Any]) -> dict[str, Any]:
    (FOLDER / args["file_path"]).write_text(args["content"])
    return text("written")


BASH_SCHEMA = {
    "type": "object",
    "properties": {"command": {"type": "string"}, "description": {"type": "string"}},
    "required": ["command"],
}


@tool("Bash", "Run a command.", BASH_SCHEMA)
async def bash(args: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run(  # noqa: ASYNC221 - a bare script does it so
        args["command"], shell=True, cwd=FOLDER, capture_output=True, text=True, check=False
    )
    return text(done.stdout + done.stderr)


async def main() -> None:
    options = ClaudeAgentOptions(
        tools=[],
        mcp_servers={"llmos": create_sdk_mcp_server("llmos", tools=[write, bash])},
        allowed_tools=["mcp__llmos"],
        setting_sources=[],
        strict_mcp_config=True,
        model="sonnet",
        cwd=FOLDER,
        env={
            "ANTHROPIC_BASE_URL": BASE_URL,
            "ANTHROPIC_API_KEY": "bench",
            "CLAUDE_CONFIG_DIR": str(FOLDER / ".config"),
            "HOME": str(FOLDER),
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            "DISABLE_TELEMETRY": "1",
            "ENABLE_TOOL_SEARCH": "false",
            "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
        },
    )
    async with ClaudeSDKClient(options=options) as client:
        await client.query(GOAL)
        async for message in client.receive_response():
            if isinstance(message, ResultMessage):
                print(message.result)


asyncio.run(main())
