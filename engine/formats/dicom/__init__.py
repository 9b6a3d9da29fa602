"""DICOM objects as bytes and datasets: read, copied, matched, made anonymous, shown. Follows PS3.3, 3.4, 3.5,
3.10, 3.15 and 3.18; knows no network and no disk.
"""

import logging
import warnings

from pydicom import config

# pydicom quotes values of patients in what it warns of; what is wrong with a value is said where it is used
config.settings.reading_validation_mode = config.IGNORE
config.settings.writing_validation_mode = config.IGNORE
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
for _module in (r"pydicom\.", r"engine\.formats\.dicom"):
    warnings.filterwarnings("ignore", module=_module)
