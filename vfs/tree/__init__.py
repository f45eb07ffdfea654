"""One namespace over many stores; what every face calls."""
