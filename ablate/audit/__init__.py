"""What is to be known of a corpus before anyone trains on it."""
