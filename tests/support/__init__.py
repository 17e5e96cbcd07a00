"""What tests share: datasets, runs, servers and browsers to test with."""
