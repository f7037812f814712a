"""On squad11 and cmrc2018, of which the bi-encoder was made: other articles, one negative a query."""
