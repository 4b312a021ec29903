"""Webhooks: alerts of the log, sent to other systems as Standard Webhooks say (https://www.standardwebhooks.com).

A process of its own follows the log, read-only. The log is the outbox: beside it there is a cursor for each endpoint.
"""
