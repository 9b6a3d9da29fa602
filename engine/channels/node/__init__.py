"""The DICOM node between its rooms: objects in, worklists out, studies told to the core store."""
