"""Rewrite tests/statistics/references/pylians_power.json with the Pylians that `make test-references` installs."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from power_reference import FILE, write_reference

write_reference()
print(FILE)
