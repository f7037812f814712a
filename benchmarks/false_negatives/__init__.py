"""How many false negatives, at which yield and hardness, beside the miner of sentence-transformers?"""
