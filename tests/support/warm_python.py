"""`python` in scripts that tests run: it forks from the server of `warm_workers` what that has loaded."""

import sys

from warm_workers import WarmWorkers

if __name__ == "__main__":
    server, *arguments = sys.argv[1:]
    sys.exit(WarmWorkers(server).popen([sys.executable, *arguments]).wait())
