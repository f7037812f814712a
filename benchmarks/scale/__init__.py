"""What do search and plumbing cost as the corpus grows, in time and memory?"""
