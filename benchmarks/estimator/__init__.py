"""Which way of choosing a threshold keeps a target, where the truth is known?"""
