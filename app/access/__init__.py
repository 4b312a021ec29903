"""Who may ask what: API keys, the scopes of routes, rates."""
