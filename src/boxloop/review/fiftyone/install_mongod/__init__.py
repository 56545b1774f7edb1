"""Sets up the App's database where none runs."""
