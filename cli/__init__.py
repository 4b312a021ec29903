"""The command line: one module per family of commands. Each imports what it needs only when it runs."""
