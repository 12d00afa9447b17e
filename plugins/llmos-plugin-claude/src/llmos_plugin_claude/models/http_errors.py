"""What an error on the way to a model means to a person. Imports no SDK."""

from __future__ import annotations

from llmos_core import LLMOSError

LATER = "Try again later."

_FIXES = {
    400: "Ask for less, or correct the setting that the server names.",
    401: "Check ANTHROPIC_API_KEY.",
    402: "Check the balance of the account.",
    403: "Check what the API key may do.",
    404: "Check the model's name.",
    413: "Ask for less.",
    429: "Wait a while, or ask for higher limits of the account.",
    502: "Check the network and the address of the model, then try again.",
    529: "The model is overloaded: try again later, or with another --model.",
}


def own_fault(error: Exception) -> LLMOSError:
    """The error itself, if it was raised on purpose; else what to say of one that no door may raise."""
    if isinstance(error, LLMOSError):
        return error
    return LLMOSError("The run met a fault of LLM OS itself.", f"{type(error).__name__}: {error}")


def what_and_fix(status: int) -> tuple[str, str]:
    """What happened, and what to do about it."""
    what = "The model refused a request" if status < 500 else "The model failed to answer"
    return f"{what} (HTTP {status}).", _FIXES.get(status, LATER)
