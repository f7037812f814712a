"""How fast is BM25, beside bm25s and rank_bm25, and are the rankings the same?"""
