"""The Open Inference Protocol, version 2, for gateways and clients that speak it: the same scores, recorded alike."""
