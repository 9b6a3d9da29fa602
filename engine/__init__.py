"""The hub: bytes in, safe on disk, FHIR R4 by maps that analysts own, every result explained."""

__version__ = "0.1.0"
