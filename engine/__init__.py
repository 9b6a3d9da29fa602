"""The hub: bytes in, safe on disk, FHIR R4 by maps that analysts own, every result explained."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 (said in one line, before anything newer is read)
    sys.exit(
        f"hub: this is Python {sys.version_info[0]}.{sys.version_info[1]} at {sys.executable}, and 3.11 or "
        "later is needed. Make the environment with a newer one, e.g. python3.12 -m venv .venv"
    )

__version__ = "0.1.0"
