"""What contenders are asked to do, in their own processes."""
