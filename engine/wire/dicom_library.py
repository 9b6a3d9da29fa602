"""pynetdicom and pydicom as this engine uses them: silent about patients.

Both log what they decode and what they cannot, identifiers and values included. What is worth saying is
said by the code that calls them.
"""

from __future__ import annotations

import logging

import pydicom.config
import pynetdicom._config

__all__ = ["hush"]


def hush() -> None:
    """Keep the libraries from writing anything; may be called more than once."""
    for name in ("pynetdicom", "pydicom"):
        library = logging.getLogger(name)
        library.setLevel(logging.CRITICAL + 1)
        library.propagate = False
    pynetdicom._config.LOG_HANDLER_LEVEL = "none"
    pynetdicom._config.LOG_REQUEST_IDENTIFIERS = False
    pynetdicom._config.UNRESTRICTED_STORAGE_SERVICE = False
    pynetdicom._config.LOG_RESPONSE_IDENTIFIERS = False
    # its warnings quote the value that is not as it should be
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE
