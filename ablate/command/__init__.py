"""What all commands share: what was typed, what is said of errors, how they begin and end."""
