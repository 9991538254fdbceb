"""The files of a run folder that people and other tools read."""
