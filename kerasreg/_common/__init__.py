"""What every folder uses: warnings, texts, the console, batches of any kind of data."""
