"""Methods that answer with examples: prototypes, and training instances by influence."""
