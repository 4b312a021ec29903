"""The decision log and the state of cards and merchants: one store, one transaction."""
