"""What does a mining run cost, in memory and in time around its models?"""
