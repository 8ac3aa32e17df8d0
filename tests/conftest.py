"""Every test runs on one thread: two OpenMP threads on a busy machine are ten times slower."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
