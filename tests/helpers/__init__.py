"""What several test files share. Nothing here uses the code that it helps to test."""
