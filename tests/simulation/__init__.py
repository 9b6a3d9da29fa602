"""The pipeline in a made-up world: one seed is one order of events, with its crashes, losses and delays."""
