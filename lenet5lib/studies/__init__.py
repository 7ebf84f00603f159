"""What one chapter measures and nothing else needs."""
