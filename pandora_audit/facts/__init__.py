"""What a machine says of itself, one component a file."""
