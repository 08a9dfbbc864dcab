"""How many examples the property tests take: a fixed sample, or with CLIPWIRE_SOAK many and fresh ones."""

import os

from hypothesis import settings

_SOAK = "CLIPWIRE_SOAK" in os.environ
SAMPLE = settings(deadline=None, derandomize=not _SOAK, max_examples=5000 if _SOAK else 150, print_blob=True)
