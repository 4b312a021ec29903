"""How values are written: times, numbers, texts. One value or a column at once, by the same patterns and sums."""
