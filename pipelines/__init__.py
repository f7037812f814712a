"""What a person runs: each module builds one Beam graph (or one report) and holds no logic of its own."""
