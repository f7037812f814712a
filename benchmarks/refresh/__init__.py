"""What does a refresh compute, and how long does it take, beside a full run?"""
