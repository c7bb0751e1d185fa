"""What a folder of data holds, before any training."""
