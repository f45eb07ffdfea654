"""How bytes change: derived files, computed when they are read."""
