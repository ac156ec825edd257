"""Networks: layers chained on a shape, evaluated and differentiated on a backend by name.
May import programs, both backends, what was tuned, and data for named networks.
Never training, verification or the tuner.
"""
