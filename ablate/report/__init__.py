"""A study by its name, from the records alone: what is known of it, its verdicts, its page."""
