"""What is known of a run: its key, its folder, its window in wandb."""
