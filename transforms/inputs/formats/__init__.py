"""The formats of files of rows, one a module, and the registry that tells them apart."""
