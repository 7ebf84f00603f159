"""Training: the recipe, the step, the loop over epochs, and checkpoints that resume exactly."""
