"""Directions in latent space, found in five ways and measured in one."""
