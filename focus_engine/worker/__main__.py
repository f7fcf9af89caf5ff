"""`python -m focus_engine.worker RUN_DIR`: train a run in this process."""

import sys

from focus_engine.worker.work import main

if __name__ == "__main__":
    sys.exit(main())
