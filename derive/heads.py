"""placeholder"""
class Head: pass
def derive_heads(definition, builder): return {}, (), {}
