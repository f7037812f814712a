"""The forms that trainers take, one a file; ``hardneg.transforms.export.registry`` lists them."""
