"""What a client does in a round, independent of the engine that runs it.

Local training as one TensorFlow function of weights and examples, its optimizers, Keras models as
pure functions, and the inputs and the state of a round.
"""
