"""One thread for each test process, and for what it starts: several share the machine's cores, and
numerical libraries that all take every core slow one another down tenfold.

No test fails for what others do on the machine: an example of hypothesis may take any time.
"""

import os

from hypothesis import HealthCheck, settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
# Otherwise DVC reports each folder that a test makes to its makers, and leaves a file behind.
os.environ["DVC_NO_ANALYTICS"] = "1"
settings.register_profile(
    "busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("busy machine")
