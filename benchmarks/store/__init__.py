"""What does a store of a million embeddings and logits cost?"""
