"""What only the network of 1998 needs: its layers, its codes, its optimizer, and the numbers that the paper prints."""
