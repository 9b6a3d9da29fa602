"""One file a kind of release. The first whose files or names fit is taken; `list` takes what is left."""

from __future__ import annotations

from engine.codes.loaders import (
    athena,
    cvx,
    fhir,
    gem,
    icd10,
    lists,
    loinc,
    ndc,
    rxnorm,
    snomed,
)
from engine.codes.loaders.summary import Loader

__all__ = ["LOADERS"]

LOADERS: tuple[Loader, ...] = (
    loinc.LOADER,
    snomed.LOADER,
    rxnorm.LOADER,
    athena.LOADER,
    ndc.LOADER,
    icd10.LOADER,
    gem.LOADER,
    cvx.LOADER,
    fhir.LOADER,
    lists.LOADER,
)
