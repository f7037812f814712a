"""How good are the bundled models?"""
