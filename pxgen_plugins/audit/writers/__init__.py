"""What an audit writes for readers: one file per writer, see :mod:`.base`."""
