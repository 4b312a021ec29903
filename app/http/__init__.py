"""The edge of the service: HTTP as clients really speak it, and clients that are slow, silent or too many."""
