"""One module a claim: which variants are raced, on which sizes, and what the paper said.
May import the rig and the report.
Never another claim.
"""
