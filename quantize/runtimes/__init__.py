"""What one runtime's INT8 asks for and no other's, a subject each; the schemes use it."""
