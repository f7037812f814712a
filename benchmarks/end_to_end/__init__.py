"""How long does mining take from start to end, beside sentence-transformers' miner with the same models?"""
