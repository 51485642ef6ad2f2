"""What a model costs: multiply-adds, parameters, time and memory."""
