"""Columns of a profile read from the fields of a table or of one JSON object: same rules, same words."""
