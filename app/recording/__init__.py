"""What is scored is recorded: the ledger, the states it keeps in memory, and how both come back after a stop."""
