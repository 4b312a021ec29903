"""What people decide beside the score: lists of cards, merchants and others, and rules."""
