"""The process that starts commands: one small one a run, so that a fork is cheap, and holds no credential.

It reads requests from a socket: a memory file with the marshalled request, and the command's descriptors. For each it
forks a supervisor, which becomes the reaper of all that the command leaves, whatever session it went to. The child of
that gives up what the request says and executes the command. When the command ends, the other side of its control
socket is closed, or this process is killed, all that is left is ended; only then the supervisor tells how it went.
Where the socket of the requests is closed, too, commands end, the run's own directory is removed, and nothing is left.
"""

from __future__ import annotations

import _socket
import array
import fcntl
import gc
import marshal
import os
import select
import signal
import sys
import time

from llmos_plugin_tools.sandbox import FILTER_FD, REPORT_FD, landlock, seccomp
from llmos_plugin_tools.sandbox.limits import children, descendants, excess, set_limits
from llmos_plugin_tools.sandbox.syscalls import (
    PR_SET_CHILD_SUBREAPER,
    PR_SET_NO_NEW_PRIVS,
    drop_capabilities,
    prctl,
)
from llmos_plugin_tools.sandbox.told import Told
from llmos_plugin_tools.sandbox.trees import Tree

WATCH_S = 0.1
PAUSES_S = (0.002, 0.02)
"""Between two looks at what is left: the shortest, at first, and the longest."""

SETTLE_S = 0.05
"""After so long a process that was let be made is there, and is counted."""

REAP_S = 5.0
"""How long killed processes are waited for; longer only takes what hangs in the kernel."""

Socket = _socket.socket

TYPE_CHECKING = False
if TYPE_CHECKING:  # what those modules import takes as long as all else here
    from typing import Any, NoReturn

    Request = dict[str, Any]


def main() -> None:
    """Serve the requests until their socket is closed.

    Arguments: its descriptor, and the run's own directory as a :class:`Tree` has it.
    """
    requests = Socket(fileno=_moved(sys.argv[1]))
    own = Tree(_moved(sys.argv[2]), sys.argv[3], _moved(sys.argv[4]))
    for taken in (REPORT_FD, FILTER_FD):
        os.dup2(0, taken, inheritable=False)  # so that no other descriptor gets these numbers
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    gc.disable()
    gc.freeze()  # a child that touches less copies less
    ourselves = os.pidfd_open(os.getpid())
    poll, supervisors = select.poll(), dict[int, int]()
    poll.register(requests.fileno(), select.POLLIN)
    opened = True
    while opened or supervisors:
        for descriptor, _ in poll.poll():
            if descriptor in supervisors:
                poll.unregister(descriptor)
                os.close(descriptor)
                os.waitpid(supervisors.pop(descriptor), 0)
                _kill_orphans(set(supervisors.values()))
            elif (received := _receive(requests)) is None:
                opened = False
                poll.unregister(descriptor)
            else:
                started = _fork(*received, requests, ourselves)
                watch = os.pidfd_open(started)
                supervisors[watch] = started
                poll.register(watch, select.POLLIN)
    _kill_orphans(set())
    own.remove()


def _moved(given: str) -> int:
    """A descriptor that we were given, under a number that nothing else here takes; no command gets it."""
    moved = fcntl.fcntl(int(given), fcntl.F_DUPFD_CLOEXEC, 20)
    os.close(int(given))
    return moved


def _receive(requests: Socket) -> tuple[Request, list[int]] | None:
    message, ancillary, _, _ = requests.recvmsg(1, _socket.CMSG_LEN(5 * 4), _socket.MSG_CMSG_CLOEXEC)
    if not message:
        return None
    fds = array.array("i")
    for _, _, data in ancillary:
        fds.frombytes(data)
    with open(fds[0], "rb") as file:  # noqa: PTH123 - a descriptor
        return marshal.load(file), list(fds[1:])  # noqa: S302 - from the process that started us


def _fork(request: Request, fds: list[int], requests: Socket, server: int) -> int:
    supervisor = os.fork()
    if supervisor == 0:
        requests.close()
        try:
            _supervise(request, server, *fds)
        finally:
            os._exit(1)
    for fd in fds:
        os.close(fd)
    return supervisor


def _kill_orphans(supervisors: set[int]) -> None:
    """What a supervisor left that was killed itself."""
    while strays := [process for process in children(os.getpid()) if process not in supervisors]:
        for stray in strays:
            _signal([stray, *descendants(stray)], signal.SIGKILL)
            os.waitpid(stray, 0)


def _supervise(request: Request, server: int, control_fd: int, stdin: int, stdout: int, report: int) -> None:
    control = Socket(fileno=control_fd)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    outer, inner = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    command = os.fork()
    if command == 0:
        try:
            _become(request, inner, stdin, stdout, report)
        except OSError as error:
            inner.send(b"%d" % (error.errno or 1))
        finally:
            os._exit(127)
    for fd in (inner.detach(), stdin, stdout, report):
        os.close(fd)
    answer = _Watch(request, control, server, outer, command).until_the_end()
    try:  # noqa: SIM105 - contextlib is slow to import
        control.send(answer.encode())
    except BrokenPipeError:
        pass  # nobody is left to be told
    os._exit(0)


class _Watch:
    """One command from its start to the end of all that it started."""

    def __init__(self, request: Request, control: Socket, server: int, setup: Socket, command: int) -> None:
        self._request = request
        self._setup = setup
        self._command = command
        self._status: int | None = None
        self._told: Told | None = None
        self._most: int = request["limits"]["processes"]
        self._room: int = self._most - 1  # the command itself
        self._listener = -1
        self._failed = b""
        self._ending = False
        self._ends = {control.fileno(), server, os.pidfd_open(command)}
        self._poll = select.poll()
        for fd in (*self._ends, setup.fileno()):
            self._poll.register(fd, select.POLLIN)

    def until_the_end(self) -> str:
        """How it went: ``failed ERRNO``, or ``ended STATUS`` and what made it end, if a limit did."""
        reason = self._until_it_ends()
        self._ending = reason is not None
        for fd in self._ends:
            self._poll.unregister(fd)
        if reason is None:
            self._end(signal.SIGTERM, self._request["grace_s"])
        self._ending = True
        self._end(signal.SIGKILL, REAP_S)
        if self._failed:
            return f"failed {self._failed.decode()}"
        status = self._status if self._status is not None else signal.SIGKILL
        return f"ended {os.waitstatus_to_exitcode(status)} {reason or ''}".rstrip()

    def _until_it_ends(self) -> str | None:
        """Until the command ends or nobody is there for it (None), or a limit is passed (which)."""
        due = time.monotonic() + WATCH_S
        while True:
            ready = self._serve(WATCH_S)
            if ready & self._ends:
                return None
            if time.monotonic() >= due:
                self._reap()
                if reason := excess(descendants(os.getpid()), self._request["limits"]):
                    return reason
                due = time.monotonic() + WATCH_S

    def _serve(self, patience_s: float) -> set[int]:
        """Wait for something to happen, and do what is to be done; gives the descriptors that were ready."""
        ready = dict(self._poll.poll(patience_s * 1000))
        if self._setup.fileno() in ready:
            self._begin()
        if ready.get(self._listener, 0) & select.POLLIN and self._told is not None:
            self._told.answer()
        elif self._listener in ready:  # nobody is left who could call
            self._poll.unregister(self._listener)
        return set(ready)

    def _begin(self) -> None:
        """Take what the child says before it executes the command: its listener, or why it failed."""
        message, ancillary, _, _ = self._setup.recvmsg(16, _socket.CMSG_LEN(4), _socket.MSG_CMSG_CLOEXEC)
        if ancillary:
            self._listener = int.from_bytes(ancillary[0][2], sys.byteorder)
            self._told = Told(self._listener, self._request["write"], self._may_fork)
            self._poll.register(self._listener, select.POLLIN)
        else:
            self._failed = message
            self._poll.unregister(self._setup.fileno())

    def _may_fork(self) -> bool:
        """Whether one more process may be. They are counted anew only when as many were made as there was room for."""
        if self._ending:
            return False
        if self._room <= 0:
            self._room = self._most - 2 * self._count()  # each may be about to be two
        if self._room <= 0:
            time.sleep(SETTLE_S)
            self._room = self._most - self._count()
        self._room -= 1
        return self._room >= 0

    def _count(self) -> int:
        self._reap()
        return len(descendants(os.getpid()))

    def _end(self, number: int, patience_s: float) -> None:
        """Signal all that is left until nothing is, or patience ends."""
        deadline = time.monotonic() + patience_s
        pause, longest = PAUSES_S
        signalled: set[int] = set()
        while self._reap() and time.monotonic() < deadline:
            left = descendants(os.getpid())
            if number == signal.SIGTERM:
                # A namespace whose keeper ends is killed at once: what is in it shall have its chance.
                spared = {self._command} if self._request["kind"] == "bubblewrap" else set()
                _signal([process for process in left if process not in signalled | spared], number)
                signalled |= set(left)
            else:
                _kill(left)
            self._serve(pause)
            pause = min(2 * pause, longest)

    def _reap(self) -> bool:
        """Collect what has ended. False if nothing is left at all."""
        while True:
            try:
                ended, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if ended == self._command:
                self._status = status
            if ended == 0:
                return True


def _become(request: Request, setup: Socket, stdin: int, stdout: int, report: int) -> NoReturn:
    """Give up what the request says, and execute the command. Raises OSError."""
    os.setsid()
    os.chdir(request["cwd"])
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and that would be inherited
        signal.signal(number, signal.SIG_DFL)
    for source, target in ((stdin, 0), (stdout, 1), (stdout, 2), (report, REPORT_FD)):
        os.dup2(source, target)
    set_limits(request["limits"])
    families = tuple(request["families"])
    if request["kind"] == "bubblewrap":
        code = os.memfd_create("filter")
        os.write(code, seccomp.program(families, tell=False))
        os.lseek(code, 0, os.SEEK_SET)
        os.dup2(code, FILTER_FD)
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        _hand_over(setup, seccomp.listen(seccomp.counting()))
    if request["kind"] == "landlock":
        rules = landlock.ruleset(request["read"], request["write"], request["use"], network=request["network"])
        drop_capabilities()
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        landlock.restrict(rules)
        _hand_over(setup, seccomp.listen(seccomp.program(families, tell=True)))
    os.execve(request["argv"][0], request["argv"], request["env"])  # noqa: S606 - no shell is wanted


def _hand_over(setup: Socket, listener: int) -> None:
    """Give the supervisor the descriptor on which it is told of calls. Raises OSError."""
    setup.sendmsg([b"l"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array("i", [listener]))])


def _signal(processes: list[int], number: int) -> None:
    for process in processes:
        try:
            os.kill(process, number)
        except ProcessLookupError:
            pass  # it ended
        except PermissionError:
            pass  # it took another user's rights (sudo)


def _kill(processes: list[int]) -> None:
    """Kill them, by their groups first: that leaves none of a group the time to make another."""
    groups = set()
    for process in processes:
        try:  # noqa: SIM105
            groups.add(os.getpgid(process))
        except ProcessLookupError:
            pass  # it ended
    _signal([-group for group in groups - {os.getpgrp()}], signal.SIGKILL)
    _signal(processes, signal.SIGKILL)
