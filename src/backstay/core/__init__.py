"""What every system stands on. It knows no system, and it imports nothing until asked."""
