"""Whether explanations are true: measures of quality, by kind of evidence."""
