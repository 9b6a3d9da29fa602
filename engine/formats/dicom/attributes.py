"""Which attributes the index keeps of an object, and at which level.

In: a header. Out: three datasets: of the study (its patient too), of the series, of the instance; all
values are decoded, texts are Unicode. Follows the required and optional keys of PS3.4 C.6.2 and PS3.18
10.6, and what ImagingStudy of FHIR is made of.
"""

from __future__ import annotations

from typing import Any

from pydicom.dataset import Dataset as _Dataset

from engine.formats.dicom.jsonmodel import from_json, to_json
from engine.formats.dicom.values import element_of, tag_of

__all__ = [
    "INDEXED",
    "INSTANCE",
    "PATIENT",
    "SERIES",
    "STUDY",
    "from_json",
    "level_of",
    "levels",
    "to_json",
]

Dataset = Any

PATIENT = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "TypeOfPatientID",
    "PatientBirthDate",
    "PatientBirthTime",
    "PatientSex",
    "OtherPatientIDs",
    "OtherPatientIDsSequence",
    "OtherPatientNames",
    "PatientMotherBirthName",
    "EthnicGroup",
    "PatientComments",
    "ResponsiblePerson",
    "ResponsibleOrganization",
    "PatientSpeciesDescription",
    "PatientSpeciesCodeSequence",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
)
STUDY = (
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "TimezoneOffsetFromUTC",
    "StudyID",
    "StudyDescription",
    "AccessionNumber",
    "IssuerOfAccessionNumberSequence",
    "ReferringPhysicianName",
    "ReferringPhysicianIdentificationSequence",
    "ConsultingPhysicianName",
    "PhysiciansOfRecord",
    "NameOfPhysiciansReadingStudy",
    "PhysiciansReadingStudyIdentificationSequence",
    "RequestingPhysician",
    "RequestingService",
    "AdmittingDiagnosesDescription",
    "AdmittingDiagnosesCodeSequence",
    "ProcedureCodeSequence",
    "RequestedProcedureDescription",
    "RequestedProcedureCodeSequence",
    "ReasonForStudy",
    "ReasonForPerformedProcedureCodeSequence",
    "ReferencedStudySequence",
    "ReferencedRequestSequence",
    "RequestAttributesSequence",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "Occupation",
    "AdditionalPatientHistory",
    "PregnancyStatus",
    "AdmissionID",
    "IssuerOfAdmissionIDSequence",
    "ServiceEpisodeID",
    "IssuerOfServiceEpisodeIDSequence",
    "InstitutionName",
)
SERIES = (
    "SeriesInstanceUID",
    "Modality",
    "SeriesNumber",
    "SeriesDescription",
    "SeriesDescriptionCodeSequence",
    "SeriesDate",
    "SeriesTime",
    "TimezoneOffsetFromUTC",
    "BodyPartExamined",
    "AnatomicRegionSequence",
    "Laterality",
    "PatientPosition",
    "ProtocolName",
    "PerformedProcedureStepID",
    "PerformedProcedureStepDescription",
    "PerformedProcedureStepStartDate",
    "PerformedProcedureStepStartTime",
    "PerformedProcedureStepEndDate",
    "PerformedProcedureStepEndTime",
    "PerformedProtocolCodeSequence",
    "ReferencedPerformedProcedureStepSequence",
    "RequestAttributesSequence",
    "PerformingPhysicianName",
    "PerformingPhysicianIdentificationSequence",
    "OperatorsName",
    "OperatorIdentificationSequence",
    "Manufacturer",
    "ManufacturerModelName",
    "DeviceSerialNumber",
    "DeviceUID",
    "SoftwareVersions",
    "StationName",
    "InstitutionName",
    "InstitutionAddress",
    "InstitutionalDepartmentName",
    "ContrastBolusAgent",
    "FrameOfReferenceUID",
    "SmallestPixelValueInSeries",
    "LargestPixelValueInSeries",
)
INSTANCE = (
    "SOPClassUID",
    "SOPInstanceUID",
    "InstanceNumber",
    "InstanceCreationDate",
    "InstanceCreationTime",
    "AvailableTransferSyntaxUID",
    "TimezoneOffsetFromUTC",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "PixelSpacing",
    "ImageType",
    "ImageComments",
    "ImageLaterality",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SliceLocation",
    "SliceThickness",
    "ViewPosition",
    "AcquisitionNumber",
    "AcquisitionDate",
    "AcquisitionTime",
    "AcquisitionDateTime",
    "AcquisitionUID",
    "ContentDate",
    "ContentTime",
    "ContentLabel",
    "ContentDescription",
    "PresentationCreationDate",
    "PresentationCreationTime",
    "ConceptNameCodeSequence",
    "CompletionFlag",
    "VerificationFlag",
    "VerifyingObserverSequence",
    "ContentTemplateSequence",
    "ReferencedRequestSequence",
    "ObservationDateTime",
    "DocumentTitle",
    "MIMETypeOfEncapsulatedDocument",
    "BurnedInAnnotation",
    "LossyImageCompression",
    "QualityControlImage",
)

_STUDY_TAGS = frozenset(tag_of(k) for k in (*PATIENT, *STUDY))
_SERIES_TAGS = frozenset(tag_of(k) for k in SERIES)
_INSTANCE_TAGS = frozenset(tag_of(k) for k in INSTANCE)
INDEXED = _STUDY_TAGS | _SERIES_TAGS | _INSTANCE_TAGS  # tags; for `read_header(only=...)`

_LEVEL = (
    dict.fromkeys(_INSTANCE_TAGS, "IMAGE")
    | dict.fromkeys(_SERIES_TAGS, "SERIES")
    | dict.fromkeys(_STUDY_TAGS, "STUDY")
    | {tag_of(k): "PATIENT" for k in PATIENT}
    | {
        tag_of("NumberOfPatientRelatedStudies"): "PATIENT",
        tag_of("NumberOfPatientRelatedSeries"): "PATIENT",
        tag_of("NumberOfPatientRelatedInstances"): "PATIENT",
        tag_of("ModalitiesInStudy"): "STUDY",
        tag_of("SOPClassesInStudy"): "STUDY",
        tag_of("NumberOfStudyRelatedSeries"): "STUDY",
        tag_of("NumberOfStudyRelatedInstances"): "STUDY",
        tag_of("NumberOfSeriesRelatedInstances"): "SERIES",
    }
)


def level_of(tag: int) -> str:
    """Return the level an attribute is asked for at: PATIENT, STUDY, SERIES, IMAGE; "" where none has it."""
    return _LEVEL.get(int(tag), "")


def levels(header: Dataset) -> tuple[Dataset, Dataset, Dataset]:
    """Return what the index keeps of an object: of its study, of its series, of itself."""
    return _only(header, _STUDY_TAGS), _only(header, _SERIES_TAGS), _only(header, _INSTANCE_TAGS)


def _only(header: Dataset, tags: frozenset[int]) -> Dataset:
    kept = _Dataset()
    for tag in tuple(header.keys()):
        if int(tag) in tags:
            kept._dict[tag] = element_of(header, tag)
    return kept
