"""What every part may use: errors, checks of arguments, registries, seeds, files, texts."""
