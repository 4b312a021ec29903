"""The store on SQLite (embedded) or PostgreSQL: one process owns it, others may read."""
