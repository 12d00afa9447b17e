"""The Learner: tasks solved through the Claude Agent SDK, behind the gateway."""
