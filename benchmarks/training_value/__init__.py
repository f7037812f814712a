"""What are the mined negatives worth to a bi-encoder that is trained on them?"""
