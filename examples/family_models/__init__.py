"""Models of the families that ``families.py`` tries: one file each, with a ``build``."""
