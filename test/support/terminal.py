"""Runs a command in a pseudo-terminal of its own: terminal.py command arguments…

What it prints comes out on standard output; each line on standard input is a Ctrl-C that is typed.
"""

import os
import pty
import select
import sys

pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
watched = [terminal, 0]
while True:
    ready, _, _ = select.select(watched, [], [])
    if 0 in ready:
        if os.read(0, 100):
            os.write(terminal, b"\x03")
        else:
            watched.remove(0)
    if terminal in ready:
        try:
            data = os.read(terminal, 65536)
        except OSError:  # Linux's way to say that the other side is closed
            break
        if not data:
            break
        os.write(1, data)
_, status = os.waitpid(pid, 0)
sys.exit(os.waitstatus_to_exitcode(status) & 0xFF)
