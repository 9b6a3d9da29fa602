"""FHIR Subscriptions: what matches which, and telling it."""
