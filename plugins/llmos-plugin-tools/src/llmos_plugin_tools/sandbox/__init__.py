"""Where commands run: what they can reach, and what they may use up. Some parts are for the supervisor alone."""

import sys

IS_LINUX = sys.platform == "linux"

REPORT_FD = 10
"""The descriptor under which a command's shell tells its directory."""

FILTER_FD = 11
"""The descriptor under which bubblewrap finds the filter of system calls."""
