"""What is asked of a port beyond its first words."""
