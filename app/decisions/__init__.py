"""The decision log's reading side: pages, single decisions, exports, and its erasure."""
