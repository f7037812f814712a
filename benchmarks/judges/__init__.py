"""Which judge lets the fewest false negatives through, at equal hardness?"""
