"""The model versions, as the command line and the API tell of them and change what serves."""
