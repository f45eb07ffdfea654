"""What is remembered: keys and bytes; knows nothing of URLs, users or stores."""
