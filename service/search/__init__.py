"""Search methods as pure strategies: no SQL, no HTTP, no clock."""
