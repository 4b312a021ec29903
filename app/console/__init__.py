"""The console: where analysts work through alerts. Pages with plain forms, drawn here; scripts only add to them."""
