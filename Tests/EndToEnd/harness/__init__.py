"""Everything the tests need around a running proxy: processes, backends, frame-level peers."""
