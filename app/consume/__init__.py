"""The worker between a message broker and the service: reads transactions, has them scored, acknowledges them."""
