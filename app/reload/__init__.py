"""Another model version takes over from the one that serves, in a running process."""
