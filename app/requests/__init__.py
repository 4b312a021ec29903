"""What callers send as JSON: read strictly, checked against the schema, named by field where it is wrong."""
