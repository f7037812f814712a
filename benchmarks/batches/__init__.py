"""How many rows meet, in a batch that is read in order, what is relevant to their query?"""
