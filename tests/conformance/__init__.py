"""The conformance suite, run over everything registered and over alibi's own explainers."""
