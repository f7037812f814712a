"""How fast is exact dense search, beside faiss?"""
