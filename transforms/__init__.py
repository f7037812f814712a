"""Plain functions over arrays and tables, and the thin PTransforms that call them."""
