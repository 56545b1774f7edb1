"""One thread for each test process, and for what it starts: several share the machine's cores, and
numerical libraries that all take every core slow one another down tenfold.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
# Otherwise DVC reports each folder that a test makes to its makers, and leaves a file behind.
os.environ["DVC_NO_ANALYTICS"] = "1"
