"""Tasks solved through the Claude Agent SDK and its CLI, behind the gateway."""
