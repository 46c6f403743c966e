"""What a run is made of: one module a config group, one public callable an option."""
