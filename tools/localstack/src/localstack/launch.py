"""Runs a command so that it cannot outlive the process that started it: `python -I -S launch.py SIGNAL PARENT UID GID …`.

The kernel sends SIGNAL (a number) to the command when PARENT (a pid) is gone, also after kill -9. Linux has this; elsewhere
the command merely runs. UID and GID of -1 leave the user as it is. The command replaces this process and keeps its pid.
Imports nothing but the standard library, because it runs before every start.
"""

import os
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Arrange for the end, then become the command."""
    number, parent, uid, gid = (int(argument) for argument in arguments[:4])
    command = arguments[4:]
    system = None
    if sys.platform == "linux":
        # Another user may not be able to read the interpreter's own files, so this comes before the change of user.
        import ctypes

        system = ctypes.CDLL(None)
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    # A change of user cancels the arrangement, so it comes after.
    if system is not None:
        system.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the parent is gone")
    try:
        os.execv(command[0], command)
    except OSError as error:
        sys.exit(f"cannot run {command[0]}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
