"""The store on Redis, shared by the processes of several hosts."""
