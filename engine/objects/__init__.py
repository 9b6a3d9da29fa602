"""The object store: DICOM objects, sealed, by what they hold."""
