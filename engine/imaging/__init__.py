"""What is held of imaging: studies, series, instances, procedure steps; a projection of the journal."""
