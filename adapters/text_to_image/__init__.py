"""Methods on models that take a prompt: which layers carry a concept, and what each word draws."""
