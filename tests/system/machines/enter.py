"""Run by itself, between the tests and a machine: joins cgroups, then becomes the command.

    enter.py GROUP... -- COMMAND...

What must happen in the new process before `nsenter` is done here, and not between fork and exec
of a test process that may have threads.
"""

import os
import resource
import sys
from pathlib import Path

if __name__ == "__main__":
    end = sys.argv.index("--")
    for group in sys.argv[1:end]:
        Path(group).mkdir(exist_ok=True)
        (Path(group) / "cgroup.procs").write_text(str(os.getpid()))
    os.umask(0o022)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, most))
    os.execvp(sys.argv[end + 1], sys.argv[end + 1 :])
