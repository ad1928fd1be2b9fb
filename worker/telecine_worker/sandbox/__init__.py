"""What confines child processes."""
