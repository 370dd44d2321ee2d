"""For all tests: hypothesis judges what is found, not how long a busy machine took to find it."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

settings.register_profile("hostel", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("hostel")

# A shell lets what it starts in the background ignore Ctrl-C, and so would all that tests start.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
