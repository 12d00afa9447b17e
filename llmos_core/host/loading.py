"""Running code of plugins at boot: bounded in time, its faults caught, its hooks checked before they count."""

from __future__ import annotations

import contextlib
import inspect
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterator
from contextvars import copy_context
from importlib import import_module
from typing import Any, TypeVar

from pluggy import HookimplOpts

from llmos_core import hookspecs
from llmos_core.errors import PluginError, describe
from llmos_core.host.discovery import Found
from llmos_core.host.local import LOCAL, load_local

T = TypeVar("T")

_PLAIN = inspect.Parameter.POSITIONAL_OR_KEYWORD


def bounded(function: Callable[[], T], timeout_s: float) -> T:
    """What a function of a plugin answers. Raises TimeoutError if it gives none in time; it is told to end then.

    What it prints goes to stderr: stdout belongs to the result of a command. KeyboardInterrupt passes.
    """
    answers: list[T] = []
    errors: list[BaseException] = []

    def call() -> None:
        try:
            answers.append(function())
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            errors.append(error)

    thread = threading.Thread(target=copy_context().run, args=(call,), daemon=True)
    with contextlib.redirect_stdout(sys.stderr):
        thread.start()
        thread.join(timeout_s)
    if errors:
        error = errors[0]
        if isinstance(error, (Exception, SystemExit, KeyboardInterrupt)):
            raise error
        raise PluginError(describe(error)) from error  # what few expect, such as pytest's Skipped
    if not answers:
        _end(thread)
        raise TimeoutError(f"no answer within {timeout_s:g} s")
    return answers[0]


def _end(thread: threading.Thread) -> None:
    """Ask a thread that was given up to end: a busy one would slow all others down as long as the process lives."""
    import ctypes

    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SystemExit))


@contextlib.contextmanager
def warned(told: Callable[[str], None]) -> Iterator[None]:
    """While the context is open, ``warnings.warn`` of plugins tells the user; other kinds are for their authors."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", UserWarning)
        yield
    for warning in caught:
        told(str(warning.message))


def load(found: Found) -> object:
    """The plugin that an entry point names: a module, or an object in one."""
    if found.distribution == LOCAL:
        return load_local(found)
    module, _, attributes = found.value.partition(":")
    plugin: Any = import_module(module)
    for name in filter(None, attributes.split(".")):
        plugin = getattr(plugin, name)
    return plugin


def hooks_of(plugin: object) -> tuple[str, ...]:
    """The hooks that a plugin implements. Raises PluginError for one that would never be called as it is written."""
    return tuple(name for name, function in _named(plugin) if _checked(name, function))


def deprecations(hooks: tuple[str, ...]) -> Iterator[str]:
    """What to use in the place of hooks that will go."""
    for name in hooks:
        if note := _spec(name).llmos_spec.get("warn_on_impl"):
            yield f"{name} is deprecated: {note}"


def _named(plugin: object) -> Iterator[tuple[str, Any]]:
    for name in dir(plugin):
        found = getattr(plugin, name, None)
        if callable(found) and not isinstance(found, type):
            yield name, found


def _checked(name: str, function: Any) -> bool:
    marks: HookimplOpts | None = getattr(function, "llmos_impl", None)
    if not isinstance(marks, dict):
        if isinstance(_spec(name), types.FunctionType):
            raise PluginError(f"{name} lacks the mark @hookimpl")
        return False
    if marks.get("specname"):
        raise PluginError(f"{name} uses specname; name the function after its hook, {marks['specname']}")
    spec = _spec(name)
    if spec is None:
        raise PluginError(f"there is no hook named {name}{_near(name)}")
    if marks.get("wrapper") or marks.get("hookwrapper"):
        raise PluginError(f"{name} is a wrapper, which no hook of LLM OS can be")
    if not inspect.isroutine(function):
        raise PluginError(f"{name} is a {type(function).__name__}; a hook must be a function")
    if inspect.isasyncgenfunction(function) or (inspect.isgeneratorfunction(function) and _is_run_time(spec)):
        raise PluginError(f"{name} is a generator, which gives no answer")
    if inspect.iscoroutinefunction(function) and not _is_run_time(spec):
        raise PluginError(f"{name} is async; contributions are collected at boot, by plain functions")
    _check_arguments(name, function, spec)
    return True


def _check_arguments(name: str, function: Any, spec: Any) -> None:
    wanted, known = inspect.signature(function).parameters, inspect.signature(spec).parameters
    if odd := sorted(wanted.keys() - known.keys()):
        raise PluginError(f"{name} takes {', '.join(odd)}; it can take {', '.join(sorted(known)) or 'nothing'}")
    if never := [it.name for it in wanted.values() if it.default is not it.empty or it.kind is not _PLAIN]:
        raise PluginError(f"{name} would never be given {', '.join(never)}: write plain arguments, without defaults")


def _spec(name: str) -> Any:
    spec = getattr(hookspecs, name, None) if name.startswith("llmos_") else None
    return spec if hasattr(spec, "llmos_spec") else None


def _is_run_time(spec: Any) -> bool:
    return spec.__name__ in hookspecs.RUN_TIME


def _near(name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, [name for name in dir(hookspecs) if _spec(name)], 1)
    return f"; did you mean {near[0]}?" if near else ""
