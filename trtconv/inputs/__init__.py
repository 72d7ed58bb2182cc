"""Input sets: a user's files, and made ones."""
