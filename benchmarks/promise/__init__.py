"""Is the promised leak rate or false-negative rate kept, over draws of which positives are known?"""
