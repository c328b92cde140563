"""Runs a command and keeps a copy of every byte that it writes to standard output.

    python examples/_stdout_tee.py CAPTURE COMMAND [ARGUMENT …]

An MCP server over stdio owns its standard output, and one stray line there breaks the protocol. The client sees the
same bytes as without this file; CAPTURE has them all, those of the last moment too. `CAPTURE.pid` has the process id
of the command, `CAPTURE.exit` its exit status (negative: the signal that ended it).
"""

import os
import subprocess
import sys


def main() -> int:
    capture, command = sys.argv[1], sys.argv[2:]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server, open(capture, "ab", buffering=0) as copy:
        with open(f"{capture}.pid", "w") as file:
            file.write(str(server.pid))
        assert server.stdout is not None
        while data := os.read(server.stdout.fileno(), 65536):
            copy.write(data)
            try:
                sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()
            except BrokenPipeError:
                pass  # the client is gone; what still comes is captured all the same
    with open(f"{capture}.exit", "w") as file:
        file.write(str(server.returncode))
    return server.returncode & 0xFF


if __name__ == "__main__":
    os._exit(main())  # not by the interpreter's flush of standard output, which may be a broken pipe
