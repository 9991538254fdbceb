"""Methods in latent space: weights of latent dimensions, effects, contrasts and views."""
