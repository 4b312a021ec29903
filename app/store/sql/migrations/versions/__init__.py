"""One module per revision of the tables, ``r0001_…``; a new one says what it changes and raises ``HEAD``."""
