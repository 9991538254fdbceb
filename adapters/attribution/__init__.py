"""Attributions: how much each element of an anchor, or of its code, raises the target."""
