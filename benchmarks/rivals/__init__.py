"""Other people's servers, run beside ours in the same run; left out where they are missing."""
