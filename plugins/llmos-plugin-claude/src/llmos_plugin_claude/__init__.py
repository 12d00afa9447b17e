"""The Learner: tasks solved through the Claude Agent SDK, behind the gateway.

The names below are for Python programs; each is imported on first use, for the SDK takes about a second.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmos_plugin_claude.sdk.options import agent_spec_to_definition as agent_spec_to_definition
    from llmos_plugin_claude.sdk_client import LLMOSSDKClient as LLMOSSDKClient

__all__ = ["LLMOSSDKClient", "agent_spec_to_definition"]

_HOMES = {"LLMOSSDKClient": "sdk_client", "agent_spec_to_definition": "sdk.options"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
