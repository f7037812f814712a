"""How near do the models come to a bare loop of the library, and how much of their work is padding?"""
