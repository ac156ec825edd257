"""What comes from outside, as types: arguments, network files, manifests and records of training.
May import files, powers, errors and msgspec.
Never what it checks: readers turn what was checked into their own records.
"""
