"""Results: the tables, the folder that keeps them, the views over them. Imports neither ray nor torch."""
