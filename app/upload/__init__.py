"""CSV uploads: read, scored and answered piece by piece."""
